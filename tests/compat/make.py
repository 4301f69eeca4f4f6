"""Writes data-N.tar.xz, a data folder as this version of the program writes it, and data-N.json, the answers that
it gives: `python tests/compat/make.py N`. The program has been killed when the folder is taken, so there is much in
its log.

Do so when a format changes, and leave the others as they are.
"""

import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import data_folder  # noqa: E402
from pando_process import Pando  # noqa: E402


def main():
    name = data_folder.HERE / f"data-{int(sys.argv[1])}"
    if name.with_suffix(".json").exists():
        sys.exit(f"{name}.json is there already; what was released is not written anew")
    with tempfile.TemporaryDirectory(prefix="pando-compat-") as folder:
        folder = pathlib.Path(folder) / "data"
        server = Pando(folder, "--memory", "256MiB")
        server.start()
        try:
            with server.connect(autocommit=True) as connection:
                for statement in data_folder.STATEMENTS:
                    connection.cursor().execute(statement)
                answers = data_folder.answers(server)
                server.kill()
        finally:
            server.kill()
        data_folder.pack(folder, name.with_suffix(".tar.xz"))
    name.with_suffix(".json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
