"""What is committed speaks of the project: not of the machine it was written on, nor of where packages come from."""

from __future__ import annotations

import re

from tests.architecture.repository import ROOT, tracked_files

_DOT = "."
REGISTRIES = [
    _DOT.join(labels)
    for labels in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("index", "crates", "io"),
        ("static", "crates", "io"),
        ("proxy", "golang", "org"),
        ("repo", "maven", "apache", "org"),
        ("rubygems", "org"),
    )
]
"""Hosts of package registries, put together so that this file does not name them."""
PLACES = ("/" + "work/", "/" + "tmp/w")
"""Folders of the machine on which this was written."""

_REGISTRY = re.compile(
    "|".join(rf"(?<![\w-]){re.escape(host)}(?![\w-])" for host in REGISTRIES), re.IGNORECASE
)
_PLACE = re.compile(rf"(?<![\w.~}}-]){PLACES[0]}(?:main|shared|\.)|{PLACES[1]}(?![\w-])")


def mentions(pattern: re.Pattern[str]) -> list[str]:
    """``file:line: words`` for each place where *pattern* occurs in a text that is committed."""
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match[0]}")
    return found


def test_no_file_names_the_host_of_a_package_registry():
    assert mentions(_REGISTRY) == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on():
    assert mentions(_PLACE) == []


def test_what_is_looked_for_is_found_where_it_is():
    assert _REGISTRY.search(f"see https://{REGISTRIES[0]}/simple")
    assert _PLACE.search(f"in {PLACES[0]}main/x")
    assert _PLACE.search(f"in {PLACES[1]}/venv")
    assert not _PLACE.search("examples" + PLACES[0] + "main")
    assert not _PLACE.search(PLACES[1] + "orkflows")
