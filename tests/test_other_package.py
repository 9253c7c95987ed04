"""Another package is imported as semcache, too; where its files lie between ours, the import says so."""

import subprocess
import sys
from pathlib import Path

import pytest

import semcache


@pytest.mark.parametrize("has_others_files", [False, True])
def test_the_import_warns_of_the_other_packages_files(tmp_path: Path, has_others_files: bool) -> None:
    folder = tmp_path / "semcache"
    folder.mkdir()
    (folder / "__init__.py").write_text(Path(semcache.__file__).read_text())
    if has_others_files:
        (folder / "client.py").touch()
    program = (
        "import warnings\nwith warnings.catch_warnings(record=True) as seen:\n    warnings.simplefilter('always')\n"
    )
    program += "    import semcache\nprint([str(one.message) for one in seen])"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ("pip uninstall semcache redis-semcache" in done.stdout) == has_others_files


def test_this_package_has_no_file_by_which_the_other_is_known() -> None:
    assert not Path(semcache.__file__).with_name("client.py").exists()
