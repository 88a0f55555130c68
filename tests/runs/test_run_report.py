from src.runs.run_report import environment


def test_the_environment_names_the_versions_a_result_depends_on():
    assert {"python", "torch", "lightning", "hydra-core"} <= set(environment()["versions"])
