"""The paper by name: its tables, figures and claims, each put to the test."""
