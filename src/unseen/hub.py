"""Erasers on the Hugging Face hub: files fetched into its cache, folders sent to it. Errors say what to do."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import LoadError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(source: str | Path) -> bool:
    """Whether `source` names a repository and no folder: "org/repo", where there is no folder "org" here."""
    if not isinstance(source, str) or not HUB_ID.fullmatch(source):
        return False
    return not Path(source).exists() and not Path(source).parent.exists()


def fetched(source: str | Path, choices: Sequence[Sequence[str]], *, revision: str | None = None) -> Path:
    """The folder in which the files of one of `choices` lie, the first one that is there.

    A folder is returned as it is; a repository is fetched into the hub's cache, these files alone. With a whole cache
    no network is needed.

    Raises:
        LoadError: there is no such repository or revision, it may not be read, it holds none of the choices, or the
            network is down and the cache has nothing; or a revision was asked of a folder.
    """
    if not is_hub_id(source):
        if revision is not None:
            raise LoadError(
                f"expected a hub repository (org/repo) where a revision is given, got {source}, which is none. Leave"
                " the revision out for a folder."
            )
        return Path(source)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{source}@{revision}" if revision else str(source)
    try:
        for files in choices:
            try:
                paths = [Path(hf_hub_download(str(source), name, revision=revision)) for name in files]
            except LocalEntryNotFoundError:
                if files is choices[-1]:
                    raise
            except EntryNotFoundError:
                continue
            else:
                return paths[0].parent
    except LocalEntryNotFoundError as error:
        raise LoadError(
            f"there is no folder {source}, and {where} is not in the local hub cache, nor could the hub be reached."
            " Check the path; or, on a machine with the network, load it once, and copy the cache or the folder."
        ) from error
    except GatedRepoError as error:
        raise LoadError(
            f"{where} may only be read by those who accepted its terms. Accept them on its page, and log in with"
            " `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise LoadError(f"{source} has no revision {revision!r}. Give a branch, tag or commit that it has.") from error
    except RepositoryNotFoundError as error:
        raise LoadError(
            f"there is no folder {source}, and no repository of that name on the hub that you may read. Check the"
            " name; if it is private, log in with `hf auth login`."
        ) from error
    except (HfHubHTTPError, HTTPError, OSError) as error:
        raise LoadError(f"{where} could not be fetched from the hub ({type(error).__name__}: {error}).") from error
    wanted = " or ".join(files[0] for files in choices)
    raise LoadError(f"{where} holds no eraser: it has no {wanted}. Give a repository that push_to_hub wrote.")


def pushed(
    repo_id: str,
    write: Callable[[Path], None],
    card: str,
    *,
    revision: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    replaces: Sequence[str] = (),
) -> str:
    """Send what `write` puts into a folder, and `card` as README.md, to a repository in one commit; returns its id.

    The repository is made if there is none. Files that match `replaces` and are not written anew are removed.

    Raises `LoadError` where the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    if not HUB_ID.fullmatch(repo_id):
        raise LoadError(f"expected a repository to push to, such as your-name/french-horn-eraser, got {repo_id!r}.")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory(prefix="unseen-") as name:
        folder = Path(name)
        write(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message="Eraser of unseen",
                delete_patterns=list(replaces) or None,
            )
        except (HfHubHTTPError, HTTPError, HFValidationError, OSError) as error:
            raise LoadError(
                f"{repo_id} could not be pushed to ({type(error).__name__}). Check the name and the network, and log in"
                " with a token that may write: `hf auth login`."
            ) from error
    return commit.oid
