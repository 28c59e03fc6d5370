"""What every page of the reports shares: its templates and what it may do in a browser."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from experiments.runner.errors import UserError
from experiments.runner.storage import storage_errors, write_atomically

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, script: str | Sequence[str], **values: object) -> str:
    """A page's HTML: a template that extends ``page.html``.

    Every value is text and escaped, unless it is Markup.

    Args:
        template: its file's name.
        script: the page's script, by its file's name, or several that follow each other.
        **values: the template's variables.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        # Texts of the corpus and of overrides are data and must not become markup.
        autoescape=True,
        # A misspelt variable is an error, and not an empty place in the page.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Templates end as files do, and so do the pages.
        keep_trailing_newline=True,
    )
    names = [script] if isinstance(script, str) else script
    code = "\n".join(map(_read, names))
    return environment.get_template(template).render(
        policy=content_policy(code),
        style=Markup(_read("study.css")),
        script=Markup(code),
        **values,
    )


def write(page: str, path: Path) -> None:
    """Write a page whole or not at all, and the folder above it if need be.

    Raises:
        UserError: there is no room, or the folder cannot be written.
    """
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())


def image_address(path: Path) -> str:
    """A PNG file as an address within a page, which makes no request.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The published figure {path} cannot be read: {error.strerror}.",
            f"Restore it: git checkout -- {path}",
        ) from error
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def content_policy(script: str) -> str:
    """The content security policy: no request at all, and no script but our own."""
    # A hash instead of 'unsafe-inline': the page runs this script and none that a text smuggles in.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
