"""The sqllogictest files on Pando and on the referee, MariaDB."""

import pytest
import records
import runner
import targets

SHOWN = 20


@pytest.fixture(scope="session", params=records.SERVERS)
def server(request, tmp_path_factory):
    address = request.config.getoption("--slt-address")
    with targets.started(request.param, tmp_path_factory.mktemp("slt"), address) as server:
        yield server


@pytest.mark.parametrize("path", targets.files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_file(server, path):
    file = records.read(path)
    differences = list(runner.run(file, server))
    shown = "\n".join(targets.report(file, record, found) for record, found in differences[:SHOWN])
    assert not differences, f"{len(differences)} of {len(file.records)} records differ:\n{shown}"
