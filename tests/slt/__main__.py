"""Runs sqllogictest files by hand.

    python tests/slt --on pando                 compare Pando's answers with the files
    python tests/slt --on mariadb FILE ..       the referee's
    python tests/slt --complete FILE ..         write the referee's answers into the files
    python tests/slt --on pando --address HOST:PORT    a Pando, or a cluster, that runs already
"""

import argparse
import pathlib
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

import records  # noqa: E402
import runner  # noqa: E402
import targets  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description="Runs sqllogictest files.")
    parser.add_argument("--on", choices=records.SERVERS, default="pando")
    parser.add_argument("--address", help="HOST:PORT of a Pando that runs already")
    parser.add_argument("--complete", action="store_true", help="write the referee's answers")
    parser.add_argument("--most", type=int, default=20, help="differences shown of a file")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    paths = options.files or targets.files()
    name = "mariadb" if options.complete else options.on
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, targets.started(name, pathlib.Path(folder), options.address) as server:
        for path in paths:
            file = records.read(path)
            begin = time.monotonic()
            if options.complete:
                runner.complete(file, server)
                path.write_text(file.text(), encoding="utf-8")
                print(f"{path.name}: {len(file.records)} records written")
                continue
            differences = list(runner.run(file, server))
            wrong += len(differences)
            seconds = time.monotonic() - begin
            print(f"{path.name}: {len(file.records)} records, {len(differences)} differ, {seconds:.1f} s")
            for record, found in differences[: options.most]:
                print(targets.report(file, record, found))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
