"""What the image is built of is all there, and all that it needs; `docs/deploying.md` is valid for who reads it."""

from __future__ import annotations

import re
import tomllib

import yaml

from tests.architecture.repository import PACKAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "docs" / "deploying.md").read_text()
DEVELOPMENT = {"dev", "lsp"}


def taken() -> set[str]:
    """What of the repository reaches the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def test_all_that_the_package_is_made_of_reaches_the_build():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *(source.split("/")[0] for source in wheel["force-include"])}
    needed |= {
        "pyproject.toml",
        "constraints.txt",
        PROJECT["project"]["readme"],
        *PROJECT["project"]["license-files"],
    }
    assert needed == taken()
    assert set(PACKAGES) <= needed
    assert [name for name in taken() if not (ROOT / name).exists()] == []


def test_the_image_has_every_extra_of_a_server():
    extras = re.findall(r"'\.\[([a-z0-9,]+)\]'", DOCKERFILE)
    assert len(extras) == 1
    given = set(extras[0].split(","))
    for extra in list(given):
        for requirement in PROJECT["project"]["optional-dependencies"][extra]:
            if requirement.startswith(PROJECT["project"]["name"] + "["):
                given |= set(requirement.split("[")[1].rstrip("]").split(","))
    assert given == PROJECT["project"]["optional-dependencies"].keys() - DEVELOPMENT


def test_the_image_is_built_on_a_python_that_the_package_allows():
    [version] = re.findall(r"^ARG PYTHON=\S+/python:3\.(\d+)-slim$", DOCKERFILE, re.MULTILINE)
    [lowest] = re.findall(r">=3\.(\d+)", PROJECT["project"]["requires-python"])
    assert int(version) >= int(lowest)


def test_settings_that_the_page_names_are_there():
    from workflow_engine.settings import Settings

    settings = {f"WFE_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert set(re.findall(r"\bWFE_[A-Z_]+\b", PAGE)) - settings == set()


def test_deployments_of_the_page_run_what_the_image_has():
    documents = [
        each
        for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
        for each in yaml.safe_load_all(block)
    ]
    commands = [
        container["args"][0]
        for document in documents
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    assert commands == ["api", "worker"]
