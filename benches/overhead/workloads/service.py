"""A Flask application, asked through its test client."""

from flask import Flask, jsonify, request

app = Flask(__name__)
baskets = {}


@app.post("/basket/<owner>")
def basket(owner):
    """Keeps one item, answers with a sum."""
    items = request.get_json()["items"]
    baskets.setdefault(owner, []).append(items[-1])
    return jsonify(owner=owner, n=len(items), total=sum(item["price"] for item in items))


client = app.test_client()
for n in range(2500):
    items = [{"name": f"thing {k}", "price": k * 3} for k in range(24)]
    answer = client.post(f"/basket/owner{n % 40}", json={"items": items})
    assert answer.get_json()["n"] == 24
