"""Cityscapes' archives, behind a login: cityscapesscripts knows the way, with the user's own credentials."""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import appdirs
import requests

from sgr.errors import UserError

PACKAGE = "cityscapesscripts"
SITE = "https://www.cityscapes-dataset.com"


def login(folder: Path) -> requests.Session:
    """A session that is logged in with the credentials that `csDownload` keeps; nobody is asked for any.

    Args:
        folder: the dataset's, for the sentence of the error.

    Raises:
        UserError: cityscapesscripts is not installed, there are no credentials, or the site refuses them.
    """
    otherwise = f"or put its two ZIP files into {folder} yourself"
    downloader = _downloader(otherwise)
    kept = Path(appdirs.user_data_dir(PACKAGE, "cityscapes"), "credentials.json")
    if not kept.is_file():
        raise UserError(
            f"Cityscapes wants a login: register at {SITE}/register and let `csDownload -l` store your credentials "
            f"(in {kept}), {otherwise}"
        )
    with suppress(OSError):
        kept.chmod(0o600)  # the package leaves the password readable for everybody
    try:
        session: requests.Session = downloader.login()
    except requests.RequestException as error:
        raise UserError(f"{SITE} cannot be reached or is out of order: {type(error).__name__}") from None
    except Exception:  # the library says "Bad credentials." and removes them
        raise UserError(
            f"{SITE} does not accept the credentials of {kept}: let `csDownload -l` store others, {otherwise}"
        ) from None
    return session


def address(name: str, session: requests.Session) -> str:
    """Where a logged-in session gets an archive. Raises UserError for one that the account has no access to."""
    downloader = _downloader("")
    try:
        packages = downloader.get_available_packages(session=session)
    except (requests.RequestException, ValueError) as error:
        raise UserError(f"{SITE} does not list its archives: {type(error).__name__}") from None
    number = next((package["packageID"] for package in packages if package["name"] == name), None)
    if number is None:
        raise UserError(f"{SITE} offers your account no {name}: ask for access there")
    return f"{SITE}/file-handling/?packageID={number}"


def _downloader(otherwise: str) -> Any:
    try:
        return importlib.import_module(f"{PACKAGE}.download.downloader")
    except ImportError:
        raise UserError(
            f"Cityscapes is downloaded by cityscapesscripts: pip install --no-deps cityscapesscripts, {otherwise}"
        ) from None
