import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from serving import Daemon, Serve

from edge.config import ConfigError
from edge.http.auth import Credentials
from edge.http.loopback import is_loopback

Secret = Callable[[str, str], Path]
TOKEN = httpx.Headers({"Authorization": "Bearer s3cret-token"})
GUARDED = ["/", "/metrics", "/cameras", "/cameras/dock/snapshot.jpg", "/static/page.js", "/nothing"]


def test_without_credentials_everything_is_open(client: httpx.Client, daemon: Daemon) -> None:
    daemon.post("dock", 1)
    assert client.get("/").status_code == 200
    assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("path", GUARDED)
def test_a_token_guards_everything_but_health(serve: Serve, secret: Secret, path: str) -> None:
    url = serve(token_file=secret("token", "s3cret-token\n")).url
    with httpx.Client(base_url=url, trust_env=False) as client:
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert "s3cret" not in refused.text
        assert client.get(path, headers=TOKEN).status_code != 401
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200


def test_name_and_password_open_the_page(serve: Serve, secret: Secret) -> None:
    server = serve(username="anna", password_file=secret("password", "pässword:x\n"))
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/", auth=("anna", "pässword:x")).status_code == 200
        assert client.get("/", auth=("anna", "wrong")).status_code == 401
        assert client.get("/", auth=("otto", "pässword:x")).status_code == 401
        assert client.get("/", headers=TOKEN).status_code == 401
        assert client.get("/").status_code == 401


def test_a_browser_can_give_the_token_as_password(serve: Serve, secret: Secret) -> None:
    server = serve(token_file=secret("token", "s3cret-token"))
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/", auth=("", "s3cret-token")).status_code == 200
        assert client.get("/", auth=("s3cret-token", "")).status_code == 401


def test_token_and_password_both_open(serve: Serve, secret: Secret) -> None:
    server = serve(
        token_file=secret("token", "s3cret-token"),
        username="anna",
        password_file=secret("password", "pass"),
    )
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/", headers=TOKEN).status_code == 200
        assert client.get("/", auth=("anna", "pass")).status_code == 200
        assert client.get("/", auth=("anna", "s3cret")).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic !!!",
        "Basic YQ==",
        "Basic /w==",
        "Digest x",
        "s3cret",
    ],
)
def test_broken_credentials_are_refused(header: str) -> None:
    credentials = Credentials(token="s3cret", username="anna", password="pass")
    assert not credentials.admit(header)


def test_an_empty_secret_opens_nothing() -> None:
    assert not Credentials(token="").admit("Bearer ")
    assert not Credentials(username="", password="").admit("Basic Og==")


def test_credentials_do_not_print_their_secrets() -> None:
    assert "s3cret" not in repr(Credentials(token="s3cret", username="anna", password="pass"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])
def test_a_loopback_server_refuses_foreign_host_names(client: httpx.Client, host: str) -> None:
    for path in ("/", "/cameras", "/livez"):
        assert client.get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:8080", "[::1]:8080"])
def test_a_loopback_server_answers_to_its_own_names(client: httpx.Client, host: str) -> None:
    assert client.get("/livez", headers={"Host": host}).status_code == 200


def test_a_server_with_credentials_answers_to_any_name(serve: Serve, secret: Secret) -> None:
    url = serve(token_file=secret("token", "s3cret-token")).url
    headers = {"Host": "cameras.example", **TOKEN}
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("name", "loopback"),
    [("::1", True), ("127.9.9.9", True), ("a.localhost", True), ("0.0.0.0", False), ("", False)],
)
def test_which_names_are_loopback(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


def test_tls(serve: Serve, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    server = serve(tls={"cert_file": certificate, "key_file": key})

    assert server.url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=certificate)
    with httpx.Client(base_url=server.url, verify=trusting, trust_env=False) as client:
        assert client.get("/livez").status_code == 200
    with (
        httpx.Client(base_url=server.url, trust_env=False) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get("/livez")


def test_a_key_of_another_certificate_is_one_sentence(serve: Serve, tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path, "server")
    _, other_key = make_certificate(tmp_path, "other")
    with pytest.raises(ConfigError, match=r"^http.tls: .*server.pem and .*other.key are no cert"):
        serve(tls={"cert_file": certificate, "key_file": other_key})


def test_an_encrypted_key_is_refused_and_not_asked_for(serve: Serve, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    locked = tmp_path / "locked.key"
    command = ["openssl", "rsa", "-aes128", "-passout", "pass:abcd", "-in", str(key)]
    subprocess.run([*command, "-out", str(locked)], check=True, capture_output=True, timeout=60)
    with pytest.raises(ConfigError, match=r"locked\.key"):
        serve(tls={"cert_file": certificate, "key_file": locked})
