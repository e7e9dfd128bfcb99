"""Makes plain ``pytest contract_tests`` work; `touchstone check` names the plugin itself."""

pytest_plugins = ("touchstone.check.pytest_plugin",)
