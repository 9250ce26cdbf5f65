"""`.bruin.yml`: which connections there are, and how one becomes usable. Never how it is secret."""

from __future__ import annotations

import pytest

from bruin.helpers import Files
from ecommerce_dagster.bruin.config_file import Connections, default_connection_name
from ecommerce_dagster.bruin.model.connections import Connection, UnusableConnection

SECRET = "hunter2"


def config(files: Files, text: str) -> Files:
    """An environment `default` with these connections, the first of which stands in line 5."""
    indented = "".join(f"      {line}\n" for line in text.strip("\n").splitlines())
    files.write("assets/a.asset.yml", "type: empty\n")
    head = "default_environment: default\nenvironments:\n  default:\n    connections:\n"
    return files.write(".bruin.yml", head + indented)


def connection(files: Files, text: str, name: str = "x") -> Connection:
    return config(files, text).project().connections.get(name)


def refusal(files: Files, text: str, **variables: str) -> str:
    """What a user is told about a connection `x` that cannot be used."""
    found = connection(files, text)
    with pytest.raises(UnusableConnection) as caught:
        found.postgres(variables) if found.platform == "postgres" else found.duckdb(variables)
    return str(caught.value).replace(f"{files.root}/", "")


def postgres(**settings: str) -> str:
    """A connection `x` with these settings above the least that there must be."""
    settings = {"host": "db", "database": "shop", "username": "me", **settings}
    lines = "".join(f"    {key}: {value}\n" for key, value in settings.items())
    return f"postgres:\n  - name: x\n{lines}"


def duckdb(**settings: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in settings.items())
    return f"duckdb:\n  - name: x\n{lines}"


class TestPostgres:
    """postgres: the least is host, database and username."""

    def test_it_has_the_defaults_of_postgres(self, files: Files) -> None:
        found = connection(files, postgres()).postgres({})
        assert (found.port, found.schema, found.ssl_mode, found.password) == (
            5432, "public", "prefer", "",
        )  # fmt: skip
        assert found.dsn == "postgresql://me@db:5432/shop?sslmode=prefer"
        assert found.address == "db:5432/shop"

    def test_variables_are_filled_in_when_it_is_used(self, files: Files) -> None:
        text = postgres(host="${HOST}", port="${PORT}", password="$PASSWORD", schema="s_${ENV}_x")
        found = connection(files, text).postgres(
            {"HOST": "h", "PORT": "6543", "PASSWORD": "p", "ENV": "dev"}
        )
        assert (found.host, found.port, found.password, found.schema) == ("h", 6543, "p", "s_dev_x")

    def test_a_dollar_sign_inside_a_password_is_a_dollar_sign(self, files: Files) -> None:
        found = connection(files, postgres(password="pa$word$")).postgres({"word": "no"})
        assert found.password == "pa$word$"

    def test_a_value_that_is_filled_in_is_not_filled_in_again(self, files: Files) -> None:
        found = connection(files, postgres(password="${A}")).postgres({"A": "${B}", "B": "no"})
        assert found.password == "${B}"

    def test_an_empty_variable_is_set(self, files: Files) -> None:
        assert connection(files, postgres(password="${A}")).postgres({"A": ""}).password == ""

    def test_a_number_as_a_password_keeps_its_spelling(self, files: Files) -> None:
        assert connection(files, postgres(password="007.10")).postgres({}).password == "007.10"
        assert connection(files, postgres(password="1.10")).postgres({}).password == "1.10"

    def test_special_characters_are_safe_in_the_dsn(self, files: Files) -> None:
        text = postgres(username="m@e", password="'p/w:d@?#'", host="'::1'", database="a b")
        assert connection(files, text).postgres({}).dsn == (
            "postgresql://m%40e:p%2Fw%3Ad%40%3F%23@[::1]:5432/a%20b?sslmode=prefer"
        )
        text = postgres(host="/var/run/postgresql")
        assert "@%2Fvar%2Frun%2Fpostgresql:5432/" in connection(files, text).postgres({}).dsn

    @pytest.mark.parametrize("kind", ["postgres", "postgresql", "pg"])
    def test_it_has_three_names(self, files: Files, kind: str) -> None:
        text = postgres().replace("postgres:", f"{kind}:")
        assert connection(files, text).platform == "postgres"

    def test_all_missing_variables_are_named_at_once(self, files: Files) -> None:
        text = postgres(host="${HOST}", port="${PORT}", password="$PASSWORD", database="${HOST}")
        assert refusal(files, text) == (
            ".bruin.yml:6: the connection 'x' needs HOST, PORT, PASSWORD; "
            "set it in the environment or in .env"
        )

    def test_a_variable_written_wrongly_is_refused(self, files: Files) -> None:
        assert refusal(files, postgres(password="'${PASS:-x}'")) == (
            ".bruin.yml:6: the connection 'x' has a password that cannot be filled in; "
            "write ${NAME}"
        )

    @pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "5432.0", "²", "'5 4'", "999999"])
    def test_a_port_is_a_number(self, files: Files, port: str) -> None:
        assert refusal(files, postgres(port=port)) == (
            f".bruin.yml:6: the connection 'x' has the port '{port.strip(chr(39))}'; "
            "expected a number from 1 to 65535"
        )

    def test_what_is_missing_is_named_at_once(self, files: Files) -> None:
        assert refusal(files, "postgres:\n  - name: x\n    host: ${H}\n", H="") == (
            ".bruin.yml:6: the connection 'x' has no host, database, username"
        )

    def test_an_unknown_ssl_mode_is_refused(self, files: Files) -> None:
        assert refusal(files, postgres(ssl_mode="required")) == (
            ".bruin.yml:6: the connection 'x' has the ssl_mode 'required'; did you mean 'require'?"
        )

    def test_a_schema_that_would_be_cut_is_refused(self, files: Files) -> None:
        assert refusal(files, postgres(schema="ü" * 32)) == (
            f".bruin.yml:6: the connection 'x' has the schema '{'ü' * 32}' of 64 bytes, and "
            "PostgreSQL keeps 63; give it a shorter one"
        )

    def test_a_setting_that_is_a_list_is_refused(self, files: Files) -> None:
        assert refusal(files, postgres(host="[a, b]")) == (
            ".bruin.yml:6: the connection 'x' has a host that is not a plain value"
        )


class TestDuckDB:
    """duckdb: needs a path"""

    def test_a_relative_path_counts_from_bruin_yml(self, files: Files) -> None:
        found = connection(files, duckdb(path="data/x.duckdb")).duckdb({})
        assert found.path == str(files.root / "data/x.duckdb")
        assert found.read_only is False

    def test_a_relative_path_may_be_written_as_on_windows(self, files: Files) -> None:
        found = connection(files, duckdb(path=r"'.\data\x.duckdb'")).duckdb({})
        assert found.path == str(files.root / "data/x.duckdb")

    @pytest.mark.parametrize("path", [":memory:", "md:shop", "/data/x.duckdb"])
    def test_other_places_stay_as_they_are(self, files: Files, path: str) -> None:
        assert connection(files, duckdb(path=f"'{path}'")).duckdb({}).path == path

    @pytest.mark.parametrize(
        ("text", "read_only"), [("true", True), ("${R}", False), ("", False), ("False", False)]
    )
    def test_read_only_is_true_or_false(self, files: Files, text: str, read_only: bool) -> None:
        found = connection(files, duckdb(path="x", read_only=text)).duckdb({"R": "false"})
        assert found.read_only is read_only

    def test_anything_else_is_refused(self, files: Files) -> None:
        assert refusal(files, duckdb(path="x", read_only="maybe")) == (
            ".bruin.yml:6: the connection 'x' is read_only: 'maybe'; expected true or false"
        )
        assert refusal(files, duckdb(path="")) == ".bruin.yml:6: the connection 'x' has no path"
        assert "the connection 'x' has the path 'a b'" in refusal(files, duckdb(path='"a\\0b"'))
        assert "has the path '~nobody-like-this/x'" in refusal(
            files, duckdb(path="~nobody-like-this/x")
        )

    def test_variables_are_filled_in_at_every_depth(self, files: Files) -> None:
        text = "generic:\n  - {name: x, value: {catalog: {path: '${P}', l: ['${P}']}}}\n"
        assert connection(files, text).expanded({"P": "q"})["value"] == {
            "catalog": {"path": "q", "l": ["q"]}
        }


class TestTheFile:
    """Environments and connections as they are written."""

    def test_without_a_file_there_is_no_connection(self, files: Files) -> None:
        connections = files.write("assets/a.asset.yml", "type: empty").project().connections
        assert connections == Connections()
        with pytest.raises(UnusableConnection) as caught:
            connections.get("x")
        assert str(caught.value) == "the connection 'x' needs a .bruin.yml; there is none"

    @pytest.mark.parametrize(
        "text", ["", "# nothing", "environments:", "environments:\n  default:"]
    )
    def test_an_empty_file_is_no_error_but_one_without_the_environment_is(
        self, files: Files, text: str
    ) -> None:
        files.write("assets/a.asset.yml", "type: empty").write(".bruin.yml", text)
        expected = [] if "default" in text else [
            ".bruin.yml:1: there is no environment 'default'; none is known"
        ]  # fmt: skip
        assert files.errors() == expected

    def test_an_environment_is_chosen_by_name(self, files: Files) -> None:
        files.write(
            ".bruin.yml",
            """
            default_environment: dev
            environments:
              dev:
                schema_prefix: dev
                connections: {duckdb: [{name: x, path: dev.db}]}
              prod:
                config: {full_refresh_restricted: true}
                connections: {duckdb: [{name: x, path: prod.db}]}
            """,
        )
        dev = files.project().connections
        assert (dev.environment, dev.schema_prefix, dev.full_refresh_restricted) == (
            "dev", "dev_", False,
        )  # fmt: skip
        prod = files.project(environment="prod").connections
        assert prod.get("x").settings["path"] == "prod.db"
        assert (prod.schema_prefix, prod.full_refresh_restricted) == ("", True)

    def test_an_unknown_environment_is_an_error_with_the_nearest(self, files: Files) -> None:
        config(files, duckdb(path="x"))
        assert files.errors(environment="defualt") == [
            ".bruin.yml:2: there is no environment 'defualt'; did you mean 'default'?"
        ]
        files.write(".bruin.yml", "environments: {}\ndefault_environment: dev\n")
        assert files.errors() == [".bruin.yml:2: there is no environment 'dev'; none is known"]

    def test_an_unknown_connection_is_refused_with_the_nearest(self, files: Files) -> None:
        connections = config(files, duckdb(path="x").replace("x", "duckdb-default")).project()
        with pytest.raises(UnusableConnection) as caught:
            connections.connections.get("duckdb-defualt")
        assert str(caught.value).replace(f"{files.root}/", "") == (
            ".bruin.yml:3: no connection 'duckdb-defualt' in the environment 'default'; "
            "did you mean 'duckdb-default'?"
        )

    def test_two_connections_of_one_name_are_an_error(self, files: Files) -> None:
        assert config(files, duckdb(path="a") + "postgres:\n  - name: x\n").errors() == [
            ".bruin.yml:9: the connection 'x' stands here and in line 6; rename one"
        ]

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("postgres: 5", "5: 'postgres' must be a list of connections (`- name: ...` lines)"),
            ("postgres: text", "5: 'postgres' must be a list of connections (`- name: ...` lines)"),
            ("postgres: {name: x}",
             "5: 'postgres' must be a list of connections (`- name: ...` lines)"),
            ("postgres:\n  - host: x", "6: each connection below 'postgres' needs a 'name'"),
            ("postgres:\n  - x", "6: each connection below 'postgres' needs a 'name'"),
            ("postgres:\n  - name: [x]", "6: each connection below 'postgres' needs a 'name'"),
            ("postgres:\n  - name: x\n    pasword: y",
             "7: unknown key 'pasword' in the connection 'x'; did you mean 'password'?"),
            ("postgress: []", "5: unknown platform 'postgress'; did you mean 'postgres'?"),
        ],
    )  # fmt: skip
    def test_what_is_no_connection_is_an_error(self, files: Files, text: str, error: str) -> None:
        assert config(files, text).errors() == [f".bruin.yml:{error}"]

    def test_connections_of_other_platforms_are_carried_along(self, files: Files) -> None:
        config(files, "gorgias:\n  - {name: g, api_key: k}\ngeneric:\n  - {name: t, value: v}\n")
        project = files.project()
        assert {c.platform for c in project.connections.by_name.values()} == {"gorgias", "generic"}
        assert files.warnings() == []

    def test_a_setting_that_nobody_knows_is_a_warning(self, files: Files) -> None:
        assert config(files, duckdb(path="x", colour="red")).warnings() == [
            ".bruin.yml:8: unknown key 'colour' in the connection 'x' is ignored; "
            "known: lakehouse, max_concurrent_assets, name, path, read_only"
        ]

    def test_a_given_file_counts(self, files: Files) -> None:
        config(files, duckdb(path="x")).write("other.yml", "environments: {default: {}}\n")
        assert files.project(config_file=files.root / "other.yml").connections.by_name == {}

    def test_the_environment_names_another_file_or_holds_it(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (config(files, duckdb(path="x.duckdb")).root / ".git").mkdir()
        text = (files.root / ".bruin.yml").read_text()
        files.write("other/elsewhere.yml", text)
        monkeypatch.setenv("BRUIN_CONFIG_FILE", str(files.root / "other/elsewhere.yml"))
        found = files.project().connections.get("x").duckdb({})
        assert found.path == str(files.root / "other/x.duckdb")
        # Its paths count from where the file would be: the top of the checkout.
        (files.root / ".bruin.yml").unlink()
        monkeypatch.setenv("BRUIN_CONFIG_FILE_CONTENT", text.replace("name: x", "name: y"))
        connections = files.project().connections
        assert connections.get("y").duckdb({}).path == str(files.root / "x.duckdb")
        with pytest.raises(UnusableConnection, match="BRUIN_CONFIG_FILE_CONTENT:3: no connection"):
            connections.get("x")


class TestSecrets:
    """A password is in no message and no repr."""

    def test_no_repr_shows_one(self, files: Files) -> None:
        project = config(files, postgres(password=SECRET)).project()
        found = project.connections.get("x")
        shown = [project, project.connections, found, found.postgres({})]
        assert all(SECRET not in text for thing in shown for text in (repr(thing), str(thing)))

    @pytest.mark.parametrize(
        "text",
        [
            f"environments: {SECRET}",
            f"environments: [{SECRET}]",
            f"environments: {{default: {SECRET}}}",
            f"environments: {{default: {{connections: {SECRET}}}}}",
            f"environments: {{default: {{connections: [{SECRET}]}}}}",
            f"environments: {{default: {{connections: {{postgres: {SECRET}}}}}}}",
            f"environments: {{default: {{connections: {{postgres: [{SECRET}]}}}}}}",
            f"environments: {{default: {{connections: {{postgres: [{{name: x, 'password:{SECRET}'"
            ": }]}}}",
            f"environments: {{default: {{config: {SECRET}}}}}",
            f"environments: {{default: {{'password:{SECRET}': 1}}}}",
            f"default_environment: {{a: {SECRET}}}",
            f"password: *{SECRET}",
            f"password: !{SECRET} x",
            f"password: @{SECRET}",
            f"password: '{SECRET}",
            f"password: {SECRET}: x",
            f"password: !!int {SECRET}",
        ],
    )
    def test_no_error_shows_one(self, files: Files, text: str) -> None:
        files.write("assets/a.asset.yml", "type: empty").write(".bruin.yml", text)
        _, log = files.read()
        assert log.problems
        assert not any(SECRET in str(problem) for problem in log.problems)

    def test_no_refusal_shows_one(self, files: Files) -> None:
        for broken in ("host: ''", "host: [a]", "port: x", "ssl_mode: x", "host: ${GONE}"):
            text = postgres(password=SECRET) + f"    {broken}\n"
            text = text.replace("    host: db\n", "") if "host" in broken else text
            assert SECRET not in refusal(files, text)


@pytest.mark.parametrize(
    ("platform", "defaults", "name"),
    [
        ("duckdb", {}, "duckdb-default"),
        ("postgres", {}, "postgres-default"),
        ("snowflake", {}, "snowflake-default"),
        ("duckdb", {"duckdb": "warehouse"}, "warehouse"),
        ("postgres", {"postgres": "pg-default"}, "pg-default"),
        ("postgres", {"pg": "old"}, "old"),
        ("postgres", {"duckdb": "warehouse"}, "postgres-default"),
    ],
)
def test_a_platform_has_a_default_connection(
    platform: str, defaults: dict[str, str], name: str
) -> None:
    assert default_connection_name(platform, defaults) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("type: duckdb.sql", "warehouse"),
        ("type: pg.sql", "postgres-default"),
        ("type: python", "warehouse"),
        ("type: duckdb.sql\nconnection: own", "own"),
        ("type: ingestr", "warehouse"),
        ("type: ingestr\nparameters: {destination: postgres}", "postgres-default"),
        ("type: ingestr\nparameters: {destination_connection: own}", "own"),
    ],
)
def test_an_asset_lives_in_the_connection_of_its_platform(
    files: Files, text: str, name: str
) -> None:
    files.write("pipeline.yml", "name: shop\ndefault_connections: {duckdb: warehouse}\n")
    files.write("assets/a.asset.yml", text)
    project = files.project()
    assert project.connection_name(project.by_name["a"]) == name
