"""Works to cite for a run: the paper, and the data, encoders and methods that the run used."""

from __future__ import annotations

from dataclasses import dataclass

from speechsong.files import read_rows


@dataclass(frozen=True)
class Work:
    """A publication, in words, and its address."""

    text: str
    address: str


_PAPER = Work(
    "Y. Sun, Z. Zhao, K. Richmond, Y. Li (2024). Revisiting acoustic similarity in emotional speech and music via "
    "self-supervised representations. Preprint.",
    "https://arxiv.org/abs/2409.17899",
)
_CORPORA = {
    "RAVDESS": Work(
        "S. R. Livingstone, F. A. Russo (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song "
        "(RAVDESS): a dynamic, multimodal set of facial and vocal expressions in North American English. PLOS ONE "
        "13(5), e0196391.",
        "https://doi.org/10.1371/journal.pone.0196391",
    )
}
# by the family of the encoder
_ENCODERS = {
    "wav2vec2": Work(
        "A. Baevski, H. Zhou, A. Mohamed, M. Auli (2020). wav2vec 2.0: a framework for self-supervised learning of "
        "speech representations. NeurIPS 33.",
        "https://arxiv.org/abs/2006.11477",
    ),
    "hubert": Work(
        "W.-N. Hsu, B. Bolte, Y.-H. H. Tsai, K. Lakhotia, R. Salakhutdinov, A. Mohamed (2021). HuBERT: self-supervised "
        "speech representation learning by masked prediction of hidden units. IEEE/ACM Transactions on Audio, Speech, "
        "and Language Processing 29, 3451–3460.",
        "https://arxiv.org/abs/2106.07447",
    ),
    "mert_model": Work(
        "Y. Li, R. Yuan, G. Zhang, and others (2024). MERT: acoustic music understanding model with large-scale "
        "self-supervised training. ICLR.",
        "https://arxiv.org/abs/2306.00107",
    ),
    "wavlm": Work(
        "S. Chen, C. Wang, Z. Chen, and others (2022). WavLM: large-scale self-supervised pre-training for full stack "
        "speech processing. IEEE Journal of Selected Topics in Signal Processing 16(6), 1505–1518.",
        "https://arxiv.org/abs/2110.13900",
    ),
    "data2vec-audio": Work(
        "A. Baevski, W.-N. Hsu, Q. Xu, A. Babu, J. Gu, M. Auli (2022). data2vec: a general framework for "
        "self-supervised learning in speech, vision and language. ICML, PMLR 162, 1298–1312.",
        "https://arxiv.org/abs/2202.03555",
    ),
    "whisper": Work(
        "A. Radford, J. W. Kim, T. Xu, G. Brockman, C. McLeavey, I. Sutskever (2023). Robust speech recognition via "
        "large-scale weak supervision. ICML, PMLR 202.",
        "https://arxiv.org/abs/2212.04356",
    ),
}
_DISTANCES = [
    Work(
        "K. Kilgour, M. Zuluaga, D. Roblek, M. Sharifi (2019). Fréchet audio distance: a reference-free metric for "
        "evaluating music enhancement algorithms. Interspeech, 2350–2354.",
        "https://arxiv.org/abs/1812.08466",
    ),
    Work(
        "Y. Chung, P. Eu, J. Lee, K. Choi, J. Nam, B. S. Chon (2025). KAD: no more FAD! An effective and efficient "
        "evaluation metric for audio generation. Preprint.",
        "https://arxiv.org/abs/2502.15602",
    ),
]
# what is put into the encoder, and the approaches that do so
_ADAPTERS = [
    (
        ("peft", "peft-lora"),
        Work(
            "E. J. Hu, Y. Shen, P. Wallis, Z. Allen-Zhu, Y. Li, S. Wang, L. Wang, W. Chen (2022). LoRA: low-rank "
            "adaptation of large language models. ICLR.",
            "https://arxiv.org/abs/2106.09685",
        ),
    ),
    (
        ("peft", "peft-bottleneck"),
        Work(
            "N. Houlsby, A. Giurgiu, S. Jastrzębski, B. Morrone, Q. de Laroussilhe, A. Gesmundo, M. Attariyan, "
            "S. Gelly (2019). Parameter-efficient transfer learning for NLP. ICML, PMLR 97, 2790–2799.",
            "https://arxiv.org/abs/1902.00751",
        ),
    ),
]


def works(corpora: list[str], encoders: list[str], approaches: list[str], pretrained: bool = False) -> list[Work]:
    """List the works to cite, each once. Corpora and encoders that are not known have none.

    Parameters
    ----------
    corpora
        The CSVs `corpora/{domain}.csv` of a run, which name the corpora.
    encoders
        The CSVs `encoders/{model}.csv` of a run, which name the families.
    approaches
        The approaches of adaptation.
    pretrained
        Whether the run pre-trained an encoder: in all layouts by HuBERT's recipe.
    """
    named = [row["corpus"] for path in corpora for row in read_rows(path)]
    families = [row["family"] for path in encoders for row in read_rows(path)]
    found = [_PAPER]
    found += [_CORPORA[name] for name in named if name in _CORPORA]
    found += [_ENCODERS[family] for family in families if family in _ENCODERS]
    found += [_ENCODERS["hubert"]] if pretrained else []
    found += _DISTANCES
    found += [work for users, work in _ADAPTERS if set(users) & set(approaches)]
    return list(dict.fromkeys(found))
