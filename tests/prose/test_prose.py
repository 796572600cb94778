"""The repository's language is that of CONTRIBUTING.md, "How we write", and the checker finds what is not."""

from collections import Counter
from pathlib import Path

import pytest

from tools.prose import ROOT, Finding, Rules, check_files, read_allowed, repository_files, write_allowed

RULES = Rules.load()


def found(source: str, path: str = "services/orders/orders/sample.py") -> list[tuple[int, str]]:
    return [(finding.line, finding.found) for finding in RULES.check(path, source)]


def suggestions(source: str) -> list[str]:
    return [finding.suggestion for finding in RULES.check("docs/sample.md", source)]


def test_repository_has_only_the_allowed_findings() -> None:
    findings = check_files(RULES, repository_files())
    counts = Counter(finding.path for finding in findings)
    allowed = read_allowed()
    too_many = [str(finding) for finding in findings if counts[finding.path] > allowed.get(finding.path, 0)]
    too_few = sorted(name for name, count in allowed.items() if counts[name] < count)

    assert not too_many, "reword these; CONTRIBUTING.md, 'How we write', says how:\n" + "\n".join(too_many)
    assert not too_few, f"fewer findings than tests/prose/allowed.txt says: `python tools/prose.py --write`: {too_few}"


def test_exemption_without_a_use_is_removed() -> None:
    texts = {name: (ROOT / name).read_text() for name in repository_files() if not RULES.skips(name)}
    unused = [
        exemption.text
        for exemption in RULES.exemptions
        if not any(exemption.applies_to(name) and exemption.text in text for name, text in texts.items())
    ]

    assert unused == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("The worker tells the relay.\n", [(1, "tells")]),
        ("One.\n\nIt gave\nup after a week.\n", [(3, "gave up")]),
        ("She asked; her order bears a number.\n", [(1, "she"), (1, "her"), (1, "bears")]),
        ("It puts it off, and what becomes of it is open.\n", [(1, "puts it off"), (1, "what becomes of")]),
        ("A queue of one's own.\n", [(1, "of one s own")]),
        ("Call `settle_later` or `unsettledOrders`.\n", [(1, "settle"), (1, "unsettled")]),
        ("The behaviour was recognised.\n", [(1, "behaviour"), (1, "recognised")]),
    ],
)
def test_banned_word_in_markdown_is_found_at_its_line(source: str, expected: list[tuple[int, str]]) -> None:
    assert found(source, "docs/sample.md") == expected


@pytest.mark.parametrize(
    "source",
    [
        "A foreteller forgives the bearer of the Bearer token.\n",
        "Hand in the form. Give it time. Up to five rows wait.\n",
        "Orders are canceled, colors organized and shipments fulfilled.\n",
        "<!-- prose: off, the words not to use -->\nNever: she, settle, anew.\n<!-- prose: on -->\nFine.\n",
    ],
)
def test_clean_markdown_passes(source: str) -> None:
    assert found(source, "docs/sample.md") == []


def test_quotation_in_markdown_keeps_the_lines_after_it() -> None:
    source = "<!-- prose: off, a table of words -->\nsettle\n<!-- prose: on -->\n\nIt stands here.\n"

    assert found(source, "docs/sample.md") == [(5, "stands")]


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("catalogue", "catalog"),
        ("cancelled", "canceled"),
        ("neighbours", "neighbors"),
        ("unfavourable", "unfavorable"),
        ("fulfilment", "fulfillment"),
        ("licence", "license"),
        ("labelling", "labeling"),
        ("serialisation", "serialization"),
        ("parameterised", "parameterized"),
        ("centred", "centered"),
        ("Acknowledgement", "acknowledgment"),
    ],
)
def test_british_spelling_suggests_the_american_one(british: str, american: str) -> None:
    assert suggestions(f"One {british} here.\n") == [american]


@pytest.mark.parametrize("word", ["specialist", "optimistic", "analysis", "cancellation", "promise", "four", "revised"])
def test_american_word_that_looks_british_passes(word: str) -> None:
    assert suggestions(f"One {word} here.\n") == []


def test_python_comment_across_lines_is_read_as_one_text() -> None:
    assert found("x = 1  # kept for\n# ever, by nobody\n") == [(1, "for ever"), (2, "nobody")]


def test_python_string_is_read_across_its_parts() -> None:
    source = 'raise ValueError(\n    f"the row {row} was given "\n    f"up: ask somebody\\nHer mail"\n)\n'

    assert found(source) == [(2, "given up"), (3, "somebody"), (3, "her")]


def test_python_string_without_a_space_is_an_identifier() -> None:
    assert found('STATUS = "settled"\nKEY = f"{STATUS}:told"\n') == []


@pytest.mark.parametrize(
    "source",
    [
        "def settle_batch(): ...\n",
        "class CheckoutWish: ...\n",
        "told = 1\n",
        "def send(told): ...\n",
        "from x import y as told\n",
        "self.told = 1\n",
        "for told in x: ...\n",
    ],
)
def test_python_name_is_found_where_it_is_defined(source: str) -> None:
    assert [line for line, _ in found(source)] == [1]


def test_python_name_of_a_library_passes_where_it_is_used() -> None:
    assert found("if future.cancelled():\n    library.settle(told=1)\n") == []


def test_file_name_is_read_like_a_module() -> None:
    assert found("", "services/checkout/checkout/catalogue.py") == [(1, "catalogue")]


@pytest.mark.parametrize("path", ["deploy/compose.yaml", "deploy/nginx.conf", "Makefile", "demo/shop/shop.html"])
def test_text_file_is_read_as_a_whole(path: str) -> None:
    assert found("one\n# whatever comes\n", path) == [(2, "whatever")]


@pytest.mark.parametrize("opening", ["What", "Whether", "Those", "The same"])
def test_docstring_opening_without_a_verb_is_found(opening: str) -> None:
    source = f'def send():\n    """{opening} things that were sent."""\n'

    assert found(source) == [(2, f"docstring: {opening} …")]
    assert found(source.replace(opening, "Return the")) == []


def test_test_name_of_61_characters_is_found_and_60_pass() -> None:
    name = "test_" + "x" * 55

    assert found(f"def {name}(): ...\n") == []
    assert found(f"def {name}x(): ...\n") == [(1, f"{name}x")]


def test_readme_of_81_lines_is_found_and_80_pass() -> None:
    assert found("line\n" * 80, "README.md") == []
    assert found("line\n" * 81, "README.md") == [(81, "length")]
    assert found("line\n" * 81, "bench/README.md") == []


def test_exemption_holds_for_its_paths_only() -> None:
    assert found("def settle(): ...\n", "demo/fake_stripe/hosted.py") == []
    assert found("def settle(): ...\n", "demo/shop/app.py") == [(1, "settle")]


def test_files_are_found_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/one.md").write_text("It stands.\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/two.md").write_text("It stands.\n")
    monkeypatch.setenv("PATH", "")

    assert repository_files(tmp_path) == ["docs/one.md"]
    assert check_files(RULES, ["docs/one.md"], tmp_path) == [Finding("docs/one.md", 1, "stands", "is, remains")]


def test_allowed_counts_survive_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "allowed.txt"
    write_allowed([Finding("b.md", 1, "x", "y"), Finding("a: b.md", 1, "x", "y"), Finding("b.md", 2, "x", "y")], path)

    assert path.read_text() == "a: b.md: 1\nb.md: 2\n"
    assert read_allowed(path) == {"a: b.md": 1, "b.md": 2}
