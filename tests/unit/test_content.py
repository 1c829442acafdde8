"""The content model: what it reads and learns, how it is judged, and that its graph says the same without Keras."""

import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from batch_models import content_embedding, new_posts, refresh
from batch_models.content_embedding import ContentEmbedding, FittedContent
from batch_models.content_export import exported
from batch_models.content_network import Towers
from batch_models.dataset import Columns, Interactions, Row
from batch_models.protocols import by_time
from online_models.content_tokens import (
    LABELS,
    PROFILE,
    TEXT,
    PostTokens,
    post_tokens,
    user_tokens,
)
from online_models.content_towers import AT_ONCE, ContentTowers, trimmed
from online_models.positives import Positives
from schemas.events import DEFAULT_WEIGHTS
from schemas.posts import Post, decode_post
from schemas.settings import Settings
from schemas.users import User

SUBJECTS = ("gardening", "astronomy", "cooking", "cycling")
WORDS = ["tips", "night", "early", "secret", "summer", "winter", "city", "little", "great", "plain"]
POSTS, USERS = 240, 40


def post(number: int, title: str = "", **fields: object) -> Post:
    return decode_post(msgspec.json.encode({"id": number, "title": title, **fields}))


def tokens_of(title: str) -> set[int]:
    return {*post_tokens([post(1, title)]).text[0].tolist()} - {0}


def planted(shuffled: bool = False) -> Interactions:
    """Each user likes posts of one subject, which only a word of the title tells; the categories say nothing."""
    draw = np.random.default_rng(3)
    rows = [
        post(
            number + 1, f"{draw.choice(WORDS)} {SUBJECTS[number % 4]} {draw.choice(WORDS)}",
            category=str(draw.choice(["A", "B"])),
        )
        for number in range(POSTS)
    ]  # fmt: skip
    events = []
    for user in range(USERS):
        liked = draw.choice(np.arange(user % 4, POSTS, 4), 30, replace=False)
        if shuffled:
            liked = draw.choice(POSTS, 30, replace=False)
        events += [Row(f"u{user}", int(each) + 1, "like", 1.0, 1e9 + 60.0 * at) for at, each in enumerate(liked)]
    columns = Columns()
    columns.extend(sorted(events, key=lambda row: row.at))
    users = [User(username=f"u{user}", attributes={"club": SUBJECTS[user % 4]}) for user in range(USERS)]
    return columns.interactions({row.id: True for row in rows}, rows, users)


@pytest.fixture(scope="module")
def whole() -> Interactions:
    return planted()


@pytest.fixture(scope="module")
def trial(whole: Interactions) -> new_posts.NewPostTrial:
    return content_embedding.trial(whole, DEFAULT_WEIGHTS)


@pytest.fixture(scope="module")
def fitted(trial: new_posts.NewPostTrial) -> FittedContent:
    return ContentEmbedding(16, Positives()).fit(trial.before, DEFAULT_WEIGHTS, 3)


def test_titles_that_are_spelt_alike_share_tokens_and_others_do_not() -> None:
    one, bent, other = tokens_of("Skateboarding, at NIGHT!"), tokens_of("the skateboards"), tokens_of("potato soup")
    assert tokens_of("skateboarding at night") == one
    assert len(one & bent) > 15
    assert len(one & other) == 0


def test_the_same_word_is_another_token_as_a_category_than_as_a_tag() -> None:
    found = post_tokens([post(1, "", category="Soup", tags=["soup"], username="soup", duration_ms=15_000), None])
    assert len({*found.names[0].tolist(), found.labels[0, 0]} - {0}) == 4
    assert found.names[0, 1] == 0  # no topic
    assert found.described.tolist() == [True, False]


def test_the_summary_and_hashtags_are_labels() -> None:
    plain = post_tokens([post(1, "", tags=["joy", "sea"])]).labels[0]
    summary = {"emotions": {"conveyed": ["Joy"]}, "keywords": [{"keyword": "sea", "weight": 3}]}
    assert {*plain.tolist()} <= {*post_tokens([post(1, "#sea", post_summary=summary)]).labels[0].tolist()}


def test_texts_of_any_length_and_alphabet_fit() -> None:
    long = post(1, "word " * 5000, tags=[f"tag{number}" for number in range(500)])
    found = post_tokens([long, post(2, "😀 日本語のビデオ"), post(3, "!!! ---")])
    assert (found.text[0] > 0).sum() <= TEXT
    assert (found.labels[0] > 0).sum() == LABELS
    assert found.text[1].any()
    assert found.described.tolist() == [True, True, False]
    bio = User(username="u", role="U", bio="word " * 500, attributes={"age": 3, "list": ["no"], "club": "sea"})
    assert 3 < (user_tokens([bio, None])[0] > 0).sum() <= PROFILE
    assert not user_tokens([None]).any()


def test_the_graph_says_what_keras_says() -> None:
    towers = Towers(16)
    for weights in (towers.user_out, towers.post_hidden):
        weights.set_weights([np.random.default_rng(1).normal(size=each.shape) for each in weights.get_weights()])
    runtime, draw = ContentTowers(exported(towers.learnt())), np.random.default_rng(2)
    titles = [" ".join(draw.choice(WORDS, 1 + number % 7)) for number in range(AT_ONCE + 3)]
    posts = post_tokens([post(1 + n, title, tags=["x"][: n % 2], category="c") for n, title in enumerate(titles)])
    expected = towers.posts(*(trimmed(each) for each in posts[:2]), posts.names.astype(np.int32)).numpy()
    vectors = runtime.posts(posts)
    assert np.abs(vectors - expected).max() < 1e-4
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert runtime.posts(posts.rows(slice(0, 0))).shape == (0, 16)

    taste = np.vstack([draw.normal(size=(2, 16)), np.zeros((1, 16))]).astype(np.float32)
    profile = user_tokens([User(username="u", role="U", bio="one two"), None, None])
    expected = towers.users(taste, trimmed(profile)).numpy()
    assert np.abs(runtime.users(taste, profile) - expected).max() < 1e-4
    assert np.abs(runtime.users(3 * taste, profile) - expected).max() < 1e-4


def test_posts_that_nobody_met_find_their_readers_by_a_word_of_the_title(
    trial: new_posts.NewPostTrial, fitted: FittedContent
) -> None:
    found, popularity = trial.figures_of(fitted, trial.before), trial.popularity()
    assert found.recall > 0.6 > 2 * popularity.recall
    assert found.beats(popularity)


def test_a_profile_alone_says_something(fitted: FittedContent, whole: Interactions) -> None:
    none = whole.where(slice(0, 0))
    scores = fitted.scores(none, np.arange(USERS))
    best = np.argsort(-scores, axis=1)[:, :20] % 4
    assert (best == np.arange(USERS)[:, None] % 4).mean() > 0.8


def test_what_was_learnt_of_labels_dealt_out_anew_is_refused() -> None:
    with pytest.raises(refresh.Refused, match=r"of the popularity of categories, .* no more than chance"):
        refresh.train(content_embedding, "content", planted(shuffled=True), Settings(_env_file=None, embedding_dim=8))


def test_what_is_kept_out_is_never_trained_on_and_viewers_are_asked_before_they_came(whole: Interactions) -> None:
    questions = new_posts.new_posts(whole, Positives(), 1)
    out = new_posts.kept_out(whole.post_ids)
    assert 0.1 < out.mean() < 0.3
    assert not out[questions.train.posts].any()
    assert not out[questions.past.posts].any()
    target = whole.post_ids[questions.posts[questions.answers]]
    for number in range(0, len(questions.users), 17):
        name = questions.viewers[number]
        came = whole.at[(whole.users == name) & (whole.post_ids[whole.posts] == target[number])].min()
        assert questions.past.at[questions.past.users == number].max() < came
        assert questions.met[number, questions.answers[number]] == 0.0
        others = whole.posts[(whole.users == name) & out[whole.posts]]
        assert questions.met[number].sum() == len(np.unique(others)) - 1


def test_the_same_seed_gives_the_same_model(trial: new_posts.NewPostTrial, fitted: FittedContent) -> None:
    again = ContentEmbedding(16, Positives()).fit(trial.before, DEFAULT_WEIGHTS, 3)
    assert np.array_equal(fitted.item_vectors, again.item_vectors)


def test_whatever_happens_after_the_quantile_no_score_changes(whole: Interactions, fitted: FittedContent) -> None:
    late = np.arange(len(whole)) >= 1100
    other = replace(
        whole, posts=np.where(late, 14, whole.posts).astype(np.int32), values=np.where(late, 0, whole.values)
    )
    before = [by_time(each, Positives()).train for each in (whole, other)]
    assert before[0].digest() == before[1].digest()
    users = np.arange(USERS)
    np.testing.assert_array_equal(*(fitted.scores(train, users) for train in before))


def test_neither_api_nor_streams_nor_the_command_loads_tensorflow() -> None:
    program = (
        "import sys, api.app, streams.app, reelstream.cli, batch_models.refresh, batch_models.content_embedding;"
        "print(sorted({'tensorflow', 'keras', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_tokens_of_a_snapshot_are_those_of_the_rows(whole: Interactions) -> None:
    row = post(int(whole.post_ids[7]), "x")
    columns = Columns()
    columns.extend([Row("u", row.id, "like", 1.0, 1e9)])
    found = columns.interactions({row.id: True, row.id + 1: True}, [row], [User(username="u", role="A")])
    expected = PostTokens(*(each[0] for each in post_tokens([row])))
    assert all(np.array_equal(mine[0], its) for mine, its in zip(found.content.posts, expected, strict=True))
    assert found.content.posts.described.tolist() == [True, False]
    assert np.array_equal(found.content.users, user_tokens([User(username="u", role="A")]))
