"""The OpenAPI document, and whether the server conforms to it (schemathesis)."""

from __future__ import annotations

from typing import Any

import hypothesis
import msgspec
import pytest
from server_helpers import running_server
from starlette.testclient import TestClient
from tools_for_tests import examples

from webapp.api import ROUTES
from webapp.settings import RequestLimits, ServeSettings

CHECKED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
TYPES = {"PredictionResponse", "FacesResponse", "Problem"}


def test_schema_lists_paths_types_and_errors(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    methods = {route.path: route.methods - {"HEAD"} for route in ROUTES}
    del methods["/api/v1/openapi.json"]
    described = {path: {name.upper() for name in item} for path, item in document["paths"].items()}
    assert described == methods
    assert set(document["components"]["schemas"]) >= TYPES
    refused = document["paths"]["/api/v1/predict"]["post"]["responses"]
    assert {"200", "401", "413", "415", "422", "429", "500", "503"} <= set(refused)
    name = refused["503"]["$ref"].rpartition("/")[2]
    assert "application/problem+json" in document["components"]["responses"][name]["content"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the dependencies of schemathesis
def test_responses_conform_to_schema(settings: ServeSettings) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schemathesis.checks.load_all_checks()
    selected = schemathesis.checks.CHECKS.get_by_names(CHECKED)
    settings_without_limit = msgspec.structs.replace(
        settings, limits=RequestLimits(per_minute=1_000_000)
    )
    with running_server(settings_without_limit) as port:
        address = f"http://127.0.0.1:{port}/api/v1/openapi.json"
        for operation in schemathesis.openapi.from_url(address).get_all_operations():

            @hypothesis.settings(max_examples=examples(2, 100), deadline=None, database=None)
            @hypothesis.given(case=operation.ok().as_strategy())
            def conforms(case: Any) -> None:
                case.call_and_validate(checks=selected)

            conforms()
