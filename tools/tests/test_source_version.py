from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from packaging.version import Version

from source_version import BEFORE_ALL_TIMES, PLACE, epoch_of, version_of
from toolchain import ToolError


class Tree:
    """A repository with the one file that names a version."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / PLACE).parent.mkdir(parents=True)
        self.name("0.1.0")

    def name(self, version: str) -> None:
        (self.root / PLACE).write_text(f'"""Deskplane."""\n\n__version__ = "{version}"\n')

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=Mia", "-c", "user.email=mia@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *who, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, count: int = 1) -> str:
        for _ in range(count):
            self.git("add", ".")
            self.git("commit", "--quiet", "--allow-empty", "-m", "Change something")
        return self.git("rev-parse", "--short=12", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_without_git_it_is_what_the_sources_name(tree: Tree) -> None:
    assert (version_of(tree.root), epoch_of(tree.root)) == ("0.1.0", BEFORE_ALL_TIMES)


def test_the_repository_around_an_unpacked_tree_says_nothing_of_it(tree: Tree) -> None:
    tree.git("init", "--quiet")
    tree.commit()
    inner = Tree(tree.root / "unpacked")
    assert version_of(inner.root) == "0.1.0"


def test_without_a_tag_all_commits_count(tree: Tree) -> None:
    tree.git("init", "--quiet")
    assert version_of(tree.root) == "0.1.0"
    commit = tree.commit(3)
    assert version_of(tree.root) == f"0.1.0.dev3+g{commit}"
    assert epoch_of(tree.root) == int(tree.git("log", "-1", "--format=%ct"))


def test_a_tag_is_the_version_and_what_follows_it_is_on_the_way_to_the_next(tree: Tree) -> None:
    tree.git("init", "--quiet")
    tree.commit()
    tree.git("tag", "nightly")
    tree.git("tag", "v0.2.0")
    assert version_of(tree.root) == "0.2.0"
    commit = tree.commit(2)
    assert version_of(tree.root) == f"0.2.1.dev2+g{commit}"
    tree.name("0.3.0")
    commit = tree.commit()
    assert version_of(tree.root) == f"0.3.0.dev3+g{commit}"
    tree.git("tag", "-a", "-m", "A release", "v0.3.0")
    assert version_of(tree.root) == "0.3.0"


def test_what_was_not_committed_is_told(tree: Tree) -> None:
    tree.git("init", "--quiet")
    commit = tree.commit()
    tree.git("tag", "v0.2.0")
    (tree.root / "notes").write_text("untracked")
    assert version_of(tree.root) == "0.2.0"
    tree.name("0.2.0")
    assert version_of(tree.root) == f"0.2.1.dev0+g{commit}.dirty"


def test_sources_that_name_no_version_are_refused(tree: Tree) -> None:
    (tree.root / PLACE).write_text("")
    with pytest.raises(ToolError, match="names no __version__"):
        version_of(tree.root)


def test_versions_of_later_commits_are_later(tree: Tree) -> None:
    tree.git("init", "--quiet")
    found = []
    for tag in (None, "v0.3.0a1", "v0.3.0rc1", "v0.3.0", "v0.3.1"):
        tree.commit()
        if tag:
            tree.git("tag", tag)
        found.append(version_of(tree.root))
        tree.commit()
        found.append(version_of(tree.root))
    assert found[5].startswith("0.3.0rc2.dev1+g")
    assert [Version(one) for one in found] == sorted(Version(one) for one in found)
