"""As much of the hub's API as huggingface_hub asks for: repositories, branches, commits, files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub:
    """Commits by repository, branches by name, and what was asked."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.gated: set[str] = set()
        self.asked: list[str] = []
        self.unknown: list[str] = []

    def commit(self, repo: str, branch: str, lines: list[dict[str, Any]]) -> str:
        """Apply the lines of a commit request; returns the commit's id."""
        files = dict(self.commits[repo].get(self.branches[repo].get(branch, ""), {}))
        for line in lines:
            if line["key"] == "file":
                assert line["value"]["encoding"] == "base64"
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[line["value"]["path"]]
        oid = hashlib.sha1(repr((len(self.commits[repo]), sorted(files.items()))).encode()).hexdigest()
        self.commits[repo][oid] = files
        self.branches[repo][branch] = oid
        return oid

    def resolve(self, repo: str, revision: str) -> str | None:
        """The commit that a branch or commit stands for."""
        if revision in self.commits[repo]:
            return revision
        return self.branches[repo].get(revision)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, hub = unquote(urlsplit(self.path).path), self.hub
        hub.asked.append(f"POST {path}")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            known = name in hub.commits
            if not known:
                hub.commits[name] = {"0" * 40: {}}
                hub.branches[name] = {"main": "0" * 40}
            return self.answer(409 if known else 200, {"url": f"{self.root}/{name}", "name": name, "id": name})
        if path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\n")
            return self.answer(200, {"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/(.+)", path):
            branches = hub.branches[match[1]]
            branches.setdefault(match[2], branches["main"])
            return self.answer(200, {})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            oid = hub.commit(match[1], match[2], [json.loads(line) for line in body.splitlines() if line.strip()])
            return self.answer(
                200, {"success": True, "commitOid": oid, "commitUrl": f"{self.root}/{match[1]}/commit/{oid}"}
            )
        hub.unknown.append(f"POST {path}")
        return self.answer(404, {"error": "not found"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, hub = unquote(urlsplit(self.path).path), self.hub
        hub.asked.append(f"{self.command} {path}")
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        repo = (file or api or {1: ""})[1]
        if repo in hub.gated:
            return self.answer(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        if repo not in hub.commits:
            return self.answer(401, {"error": "no such repository"}, {"X-Error-Code": "RepoNotFound"})
        revision = (file[2] if file else api[3] if api else None) or "main"
        oid = hub.resolve(repo, revision)
        if oid is None:
            return self.answer(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        files = hub.commits[repo][oid]
        if file:
            if file[3] not in files:
                return self.answer(
                    404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid}
                )
            etag = hashlib.sha1(files[file[3]]).hexdigest()
            return self.send(200, files[file[3]], {"ETag": f'"{etag}"', "X-Repo-Commit": oid, "Accept-Ranges": "bytes"})
        if api and api[2] == "tree":
            entries = [
                {"type": "file", "path": p, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for p, c in files.items()
            ]
            return self.answer(200, entries)
        siblings = [{"rfilename": name} for name in files]
        return self.answer(200, {"id": repo, "modelId": repo, "sha": oid, "siblings": siblings, "tags": []})

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving() -> Iterator[tuple[str, Hub]]:
    """A hub of its own, empty, and its address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
