"Everything here is read from settings.ini, so that name, version and requirements are written once."
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

here = Path(__file__).parent
cfg = ConfigParser(delimiters=["="])
cfg.read(here/"settings.ini", encoding="utf-8")
cfg = cfg["DEFAULT"]

def lines(key): return [o.strip() for o in cfg.get(key, "").splitlines() if o.strip()]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here/"README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    url=cfg["git_url"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    keywords=cfg["keywords"],
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
    ],
    python_requires=">=" + cfg["min_python"],
    packages=find_packages(include=["semvideo", "semvideo.*"]),
    include_package_data=True,
    package_data={"semvideo": ["bundles/**", "data/**", "py.typed"]},
    install_requires=lines("requirements"),
    extras_require={k.removesuffix("_requirements"): lines(k) for k in cfg if k.endswith("_requirements")},
    entry_points={"console_scripts": lines("console_scripts"), "nbdev": ["semvideo=semvideo._modidx:d"]},
    zip_safe=False,
)
