from pathlib import Path

from bench.soak.report import write


def test_each_run_replaces_its_own_section_only(tmp_path: Path) -> None:
    file = tmp_path / "soak.md"
    write("Load", "## Load\n\nold load", file)
    write("Idle", "## Idle\n\nidle", file)
    write("Load", "## Load\n\nnew load", file)
    text = file.read_text()
    assert text.endswith("\n\n## Idle\n\nidle\n\n## Load\n\nnew load\n")
    assert "old load" not in text
    assert text.count("# Soak\n") == 1
