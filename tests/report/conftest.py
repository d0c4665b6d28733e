import pytest


@pytest.fixture
def quick(monkeypatch):
    """Saves an empty drawing in place of every figure, where figures are not the point."""

    def save(figure, folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.svg").write_text('<svg viewBox="0 0 1 1"></svg>')
        return folder / f"{name}.svg"

    monkeypatch.setattr("transfusion.report.figures.save", save)
