from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

import build_binary
from build_binary import LOCK, PYTHONS, complete_platform, fits, sha256, wheels
from lock_file import Pin, read_lock
from sbom import bill_of_materials
from toolchain import ToolError


def wheel(folder: Path, name: str, *lines: str) -> Path:
    """A wheel with nothing in it but what it says of itself."""
    path = folder / name
    about = "-".join(name.split("-")[:2])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{about}.dist-info/METADATA", "\n".join(["Metadata-Version: 2.4", *lines, ""]))
    return path


def test_the_lock_is_read_whole() -> None:
    text = LOCK.read_text()
    pins = read_lock(text)
    assert len(pins) == text.count("==")
    assert sum(len(pin.hashes) for pin in pins) == text.count("--hash=sha256:")
    names = {pin.name for pin in pins}
    for pin in pins:
        assert pin.needed_by, pin.name
        assert all(by in names or by == "-r requirements/runtime.in" for by in pin.needed_by), pin
        assert all(fits(pin, python) for python in PYTHONS)
    (flask,) = (pin for pin in pins if pin.name == "flask")
    assert flask.needed_by == ("-r requirements/runtime.in",)


def test_a_package_without_a_hash_is_refused() -> None:
    with pytest.raises(ToolError, match="no hash for: flask==3"):
        read_lock("click==8.5.1 \\\n    --hash=sha256:" + "a" * 64 + "\n    # via flask\nflask==3\n    # via click\n")


def test_a_package_of_other_systems_or_interpreters_is_left_out() -> None:
    text = 'old==1 ; python_full_version < "3.12" \\\n    --hash=sha256:' + "a" * 64 + "\n    # via x\n"
    (old,) = read_lock(text)
    assert [fits(old, python) for python in PYTHONS] == [True, False, False]
    (windows,) = read_lock(text.replace('python_full_version < "3.12"', "sys_platform == 'win32'"))
    assert not any(fits(windows, python) for python in PYTHONS)


def test_each_interpreter_takes_its_own_wheels_and_older_stable_ones() -> None:
    for major, minor in PYTHONS:
        tags = complete_platform((major, minor))["compatible_tags"]
        assert isinstance(tags, list)
        for tag in (f"cp3{minor}-cp3{minor}", "cp39-abi3", "py3-none"):
            assert f"{tag}-manylinux_2_17_x86_64" in tags
        assert "py3-none-any" in tags
        assert not [tag for tag in tags if "musllinux" in tag or "manylinux_2_31" in tag]


def test_a_download_that_has_not_the_hash_of_the_lock_does_not_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "thing-1-py3-none-any.whl"
    monkeypatch.setattr(build_binary, "download", lambda _pins, _python, folder: (folder / name).write_bytes(b"thing"))
    right, wrong = hashlib.sha256(b"thing").hexdigest(), "0" * 64
    assert [found.name for found in wheels([Pin("thing", "1", "", (right,), ())], tmp_path)] == [name]
    with pytest.raises(ToolError, match=f"{name} does not have a hash that the lock names"):
        wheels([Pin("thing", "1", "", (wrong,), ())], tmp_path)


def test_the_bill_of_materials_names_every_file_its_licence_and_who_needs_it(tmp_path: Path) -> None:
    files = [
        wheel(tmp_path, "Base_Thing-2.0-cp311-cp311-linux_x86_64.whl", "License-Expression: MIT"),
        wheel(tmp_path, "Base_Thing-2.0-cp312-cp312-linux_x86_64.whl", "License-Expression: MIT"),
        wheel(tmp_path, "top-1-py3-none-any.whl", "Classifier: License :: OSI Approved :: BSD License"),
    ]
    pins = [
        Pin("base-thing", "2.0", "", ("a" * 64,), ("top",)),
        Pin("top", "1", "", ("b" * 64,), ("-r requirements/runtime.in",)),
        Pin("elsewhere", "1", "sys_platform == 'win32'", ("c" * 64,), ("top",)),
    ]
    bill = bill_of_materials("1.2.3", 0, "d" * 64, pins, files, "2.0")
    assert bill["metadata"]["timestamp"] == "1970-01-01T00:00:00Z"
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]
    base, top = bill["components"]
    assert (base["purl"], base["licenses"]) == ("pkg:pypi/base-thing@2.0", [{"expression": "MIT"}])
    assert [(part["name"], part["hashes"][0]["content"]) for part in base["components"]] == [
        (file.name, sha256(file)) for file in files[:2]
    ]
    assert top["licenses"] == [{"license": {"name": "BSD License"}}]
    assert {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]} == {
        "pkg:generic/deskplane@1.2.3": ["pkg:pypi/top@1"],
        "pkg:pypi/top@1": ["pkg:pypi/base-thing@2.0"],
        "pkg:pypi/base-thing@2.0": [],
    }
    assert bill == bill_of_materials("1.2.3", 0, "d" * 64, pins, files, "2.0")
    with pytest.raises(ToolError, match="no package of the lock: top"):
        bill_of_materials("1.2.3", 0, "d" * 64, pins[:1], files, "2.0")
