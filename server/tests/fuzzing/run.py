"""Gives a target made-up bytes for a while, led by what of the server they reach (atheris, libFuzzer).

    python server/tests/fuzzing/run.py mails --seconds 300 --home .cache/fuzz

What was found to reach something new is kept below the home, and is where the next run begins. Ends with 1 where an
input is a fault, takes longer than ten seconds, or more than two gigabytes; that input is kept as `found-…`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
with atheris.instrument_imports(include=["deskplane", "mailparser_reply", "email"]):
    from deskplane.kernel import logging
    from fuzzing import targets

SLOW, MEGABYTES = 10, 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("mails", "documents"))
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--home", type=Path, required=True, help="where inputs are kept")
    options = parser.parse_args()
    logging.configure("json", "error")
    place = options.home / options.target
    stack = ExitStack()
    arguments = [sys.argv[0], str(place / "corpus"), f"-artifact_prefix={place}/found-"]
    arguments += [f"-max_total_time={options.seconds}", f"-timeout={SLOW}", f"-rss_limit_mb={MEGABYTES}"]
    arguments += ["-print_final_stats=1", "-max_len=20000"]
    if options.target == "mails":
        targets.write_seeds(place / "corpus", targets.seeds_of_mails())
        target: targets.Target = targets.mail
    else:
        targets.write_seeds(place / "corpus", targets.seeds_of_documents())
        words = place / "words"
        words.write_text("".join(f'"\\"{word}\\""\n' for word in targets.words_of_documents()))
        arguments.append(f"-dict={words}")
        target = stack.enter_context(targets.documents())

    def kept(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            file = place / f"found-{hashlib.sha256(data).hexdigest()[:16]}"
            file.write_bytes(data)
            traceback.print_exc()
            print(f"this is a fault, and its input is {file}", file=sys.stderr, flush=True)
            os._exit(1)

    atheris.Setup(arguments, kept)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
