"""The story's service: a Flask API that normalises vectors."""

import data_pipeline
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.post("/normalize")
def normalize():
    """Takes `{"rows": [[float, …], …]}`, answers the first component of each unit vector."""
    vectors = data_pipeline.normalize_vectors(request.get_json()["rows"])
    return jsonify(first=[float(vector[0]) for vector in vectors])


@app.get("/health")
def health():
    """Answers at once; changes nothing."""
    return jsonify(ok=True)
