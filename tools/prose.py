"""Checker of the repository's language, by the rules of CONTRIBUTING.md, "How we write".

Words and spellings are in prose.toml beside this file. `python tools/prose.py services/orders` prints the findings
below a folder, each with its line and a suggestion. `tests/prose` fails where their number is not the allowed one.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import click

ROOT = Path(__file__).parents[1]
RULES = Path(__file__).with_suffix(".toml")
ALLOWED = ROOT / "tests/prose/allowed.txt"

TEXT_SUFFIXES = {
    *(".md", ".toml", ".yaml", ".yml", ".json", ".conf", ".sh", ".html", ".js", ".css", ".in", ".mako", ".txt"),
    *("", ".Dockerfile", ".dockerignore", ".gitignore"),
}
BUILT = re.compile(  # folders to leave out where there is no git that knows them
    r"\.git|\.venv|\.secrets|\.hypothesis|build|dist|node_modules|__pycache__|.*_cache|.*\.egg-info"
)

WORD = re.compile(r"[A-Za-z]+")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
ESCAPE = re.compile(r"\\[nrt]")
STRING_SEAM = re.compile(r"""["']\s*[frb]*["']""", re.IGNORECASE)  # between the parts of one concatenated literal
PHRASE_GAP = re.compile(r"[^.;:|!?(){}]*")  # no phrase goes on past these
QUOTATION = re.compile(r"<!-- prose: off, .+? -->.*?(?:<!-- prose: on -->|\Z)", re.DOTALL)


class Finding(NamedTuple):
    """A place that breaks a rule, with the suggested replacement."""

    path: str
    line: int
    found: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found}: {self.suggestion}"


class Passage(NamedTuple):
    """A stretch of a file that people read, as it is written there."""

    line: int
    text: str


class Word(NamedTuple):
    """A word of a passage, in lower case, with its offsets there."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Phrase:
    """A phrase that is not used: its words as regular expressions, and what to write instead."""

    words: tuple[re.Pattern[str], ...]
    suggestion: str

    @classmethod
    def parse(cls, pattern: str, suggestion: str) -> Self:
        """Return the phrase for a rule's pattern, which separates its words by spaces."""
        return cls(tuple(map(re.compile, pattern.split(" "))), suggestion)

    def match(self, words: list[Word], text: str) -> str | None:
        """Return the suggestion if the phrase is at the beginning of `words`."""
        words = words[: len(self.words)]
        if len(words) < len(self.words) or not _adjacent(words, text):
            return None
        first, *others = (pattern.fullmatch(word.text) for pattern, word in zip(self.words, words, strict=True))
        return first.expand(self.suggestion) if first and all(others) else None


@dataclass(frozen=True)
class Exemption:
    """A text that is no finding in files whose paths match, and why."""

    text: str
    reason: str
    paths: tuple[str, ...] = ("*",)

    def applies_to(self, path: str) -> bool:
        """Return True if the exemption is for this file."""
        return any(fnmatch(path, pattern) for pattern in self.paths)


@dataclass(frozen=True)
class Rules:
    """The rules of tools/prose.toml."""

    phrases: tuple[Phrase, ...]
    exemptions: tuple[Exemption, ...]
    skipped: tuple[str, ...]
    openings: tuple[str, ...]
    test_name_length: int
    readme_length: int
    _by_first_word: dict[str, tuple[Phrase, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path = RULES) -> Self:
        """Return the rules of a file."""
        read: dict[str, Any] = tomllib.loads(path.read_text())
        return cls(
            phrases=tuple(Phrase.parse(*rule) for rule in (read["words"] | read["spellings"]).items()),
            exemptions=tuple(
                Exemption(item["text"], item["reason"], tuple(item.get("paths", ["*"]))) for item in read["exempt"]
            ),
            skipped=tuple(read["skipped"]),
            openings=tuple(read["docstrings_never_begin_with"]),
            test_name_length=read["test_name_length"],
            readme_length=read["readme_length"],
        )

    def skips(self, path: str) -> bool:
        """Return True if the file is not checked."""
        return any(fnmatch(path, pattern) for pattern in self.skipped)

    def beginning_with(self, word: str) -> tuple[Phrase, ...]:
        """Return the phrases whose first word matches this one. Results are cached, since texts repeat their words."""
        known = self._by_first_word.get(word)
        if known is None:
            known = tuple(phrase for phrase in self.phrases if phrase.words[0].fullmatch(word))
            self._by_first_word[word] = known
        return known

    def check(self, path: str, source: str) -> list[Finding]:
        """Return the findings in one file's text, in the order of their lines."""
        findings = [*self._check_words(path, Passage(1, path))]
        if path.endswith(".py"):
            nodes = [*ast.walk(ast.parse(source))]
            passages = _python_passages(source, nodes)
            findings += [*self._check_openings(path, nodes), *self._check_test_names(path, nodes)]
        else:
            passages = [Passage(1, QUOTATION.sub(_keep_lines, source) if path.endswith(".md") else source)]
        for passage in passages:
            findings += self._check_words(path, passage)
        if path == "README.md" and source.count("\n") > self.readme_length:
            findings.append(Finding(path, self.readme_length + 1, "length", f"at most {self.readme_length} lines"))
        return sorted(findings, key=lambda finding: finding.line)

    def _check_words(self, path: str, passage: Passage) -> Iterator[Finding]:
        text = self._without_exempt(path, passage.text)
        words = [Word(match[0].lower(), *match.span()) for match in WORD.finditer(text)]
        for index, word in enumerate(words):
            for phrase in self.beginning_with(word.text):
                if suggestion := phrase.match(words[index:], text):
                    found = " ".join(each.text for each in words[index : index + len(phrase.words)])
                    yield Finding(path, passage.line + text.count("\n", 0, word.start), found, suggestion)

    def _without_exempt(self, path: str, text: str) -> str:
        for exemption in self.exemptions:
            if exemption.text in text and exemption.applies_to(path):
                text = text.replace(exemption.text, "_" * len(exemption.text))
        text = ESCAPE.sub("  ", text)
        return CAMEL.sub(" ", STRING_SEAM.sub(_keep_lines, text))

    def _check_openings(self, path: str, nodes: list[ast.AST]) -> Iterator[Finding]:
        forbidden = re.compile(rf"(?:{'|'.join(self.openings)})\b")
        for node in nodes:
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                match = forbidden.match(ast.get_docstring(node) or "")
                if match:
                    kind = "a verb in the imperative" if isinstance(node, ast.FunctionDef) else "a noun"
                    yield Finding(path, node.body[0].lineno, f"docstring: {match[0]} …", f"begin with {kind}")

    def _check_test_names(self, path: str, nodes: list[ast.AST]) -> Iterator[Finding]:
        for node in nodes:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            if len(node.name) > self.test_name_length:
                suggestion = f"{len(node.name)} characters, at most {self.test_name_length}: subject_condition_result"
                yield Finding(path, node.lineno, node.name, suggestion)


def repository_files(root: Path = ROOT) -> list[str]:
    """Return the paths of the text files that git tracks or would add; without git, of all below `root`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True).stdout
    except FileNotFoundError:
        listed = ""
    names = set(filter(None, listed.split("\0"))) or _walk(root)
    return sorted(name for name in names if _is_text(name) and (root / name).is_file())


def check_files(rules: Rules, names: Iterable[str], root: Path = ROOT) -> list[Finding]:
    """Return the findings in these files, without the ones that are skipped."""
    return [
        finding
        for name in names
        if not rules.skips(name)
        for finding in rules.check(name, (root / name).read_text(encoding="utf-8"))
    ]


def read_allowed(path: Path = ALLOWED) -> dict[str, int]:
    """Return the number of findings that each file may have, as `path: number` lines say it."""
    entries = (line.rpartition(": ") for line in path.read_text().splitlines() if line.strip())
    return {name: int(count) for name, _, count in entries}


def write_allowed(findings: Iterable[Finding], path: Path = ALLOWED) -> None:
    """Write the number of findings of each file."""
    counts = Counter(finding.path for finding in findings)
    path.write_text("".join(f"{name}: {count}\n" for name, count in sorted(counts.items())))


def _walk(root: Path) -> set[str]:
    relative = (path.relative_to(root) for path in root.rglob("*"))
    return {path.as_posix() for path in relative if not any(map(BUILT.fullmatch, path.parts))}


def _is_text(name: str) -> bool:
    suffix = Path(name).suffix
    return suffix == ".py" or suffix in TEXT_SUFFIXES


def _python_passages(source: str, nodes: list[ast.AST]) -> list[Passage]:
    names: dict[str, int] = {}
    for line, name in _defined_names(nodes):
        names[name] = min(line, names.get(name, line))
    defined = (Passage(line, name) for name, line in names.items())
    return [*_comments(source), *_strings(source, nodes), *defined]


def _comments(source: str) -> Iterator[Passage]:
    """Yield each comment, with those on the lines right below it."""
    block: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != first + len(block):
            yield Passage(first, "\n".join(block))
            block = []
        if not block:
            first = token.start[0]
        block.append(token.string)
    if block:
        yield Passage(first, "\n".join(block))


def _strings(source: str, nodes: list[ast.AST]) -> Iterator[Passage]:
    """Yield the literals that have a space in them; one without is an identifier."""
    lines = source.encode().split(b"\n")
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in parts and _has_space(node):
            yield Passage(node.lineno, _segment(lines, node))


def _has_space(node: ast.Constant | ast.JoinedStr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) and _has_space(part) for part in node.values)
    return isinstance(node.value, str) and " " in node.value


def _segment(lines: list[bytes], node: ast.expr) -> str:
    """Return a node's source; ast counts columns in bytes. Its own get_source_segment splits the file each time."""
    last = node.end_lineno or node.lineno
    segment = lines[node.lineno - 1 : last]
    segment[-1] = segment[-1][: node.end_col_offset]
    segment[0] = segment[0][node.col_offset :]
    return b"\n".join(segment).decode()


def _defined_names(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield the names that a module gives to things. Those that it only uses are another's to change."""
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def _adjacent(words: list[Word], text: str) -> bool:
    return all(PHRASE_GAP.fullmatch(text, left.end, right.start) for left, right in pairwise(words))


def _keep_lines(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n") or " "


def _below(name: str, folders: tuple[Path, ...]) -> bool:
    path = (ROOT / name).resolve()
    return not folders or any(path == folder or folder in path.parents for folder in folders)


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, resolve_path=True, path_type=Path))
@click.option(
    "--write", is_flag=True, help="Write each file's number of findings to tests/prose/allowed.txt, and exit 0."
)
def main(folders: tuple[Path, ...], *, write: bool) -> None:
    """Print the findings below FOLDERS, or in the whole repository without any, and exit 1 if there are some."""
    findings = check_files(Rules.load(), [name for name in repository_files() if _below(name, folders)])
    if write:
        if folders:
            raise click.UsageError("--write counts the whole repository. Leave the folders out.")
        write_allowed(findings)
    for finding in findings:
        click.echo(finding)
    click.echo(f"{len(findings)} findings", err=True)
    sys.exit(bool(findings) and not write)


if __name__ == "__main__":
    main()
