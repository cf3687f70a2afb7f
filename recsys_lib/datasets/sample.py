"""A synthetic job-posting contest: eight CSV files with the shape of DACON 236170, and none of its rows.

The real files (résumé -> posting, host Scout, a job board of the fashion trade) may not be passed on. This module
draws a stand-in from a seed: same tables, columns, missing values and marginal counts, and a hidden process behind
them that makes recommenders rank in the order, and at about the level, that teams reported on the real data.
It is SYNTHETIC: a score on it says nothing about a place in the contest.

How an application comes about
    1. A micro-market is a sub-trade (17) at a seniority (3). A posting belongs to one market, one in twenty to two.
       A résumé has one to three markets, weighted by Dirichlet(.2), so nearly always one that counts.
    2. Time, which the files do not publish: a posting is open for about three weeks of a nine-month calendar; a
       résumé is active around its own date, for weeks or for most of the calendar (log-normal).
    3. A résumé draws a market, a day of its activity, and one of the postings open there on that day in proportion
       to a log-normal popularity. One application in twenty leaves the market: half of these go to anything open on
       that day, half to anything at all.
    4. The tiny dependences between degree or job group and what a posting asks for are planted in the choice itself:
       a proposal (u, p) is kept with probability proportional to the product of the lifts of the published
       cross-tabulations, to the power 1.3, since drawing without replacement from few open postings dulls them.
    5. Drawn without replacement until the résumé's quota, 2 + NegBin(mean 4.83, r = .8) published applications and
       1 + Binomial(4, .25) hidden ones. The hidden ones are a random part of each résumé's draw, taken before
       apply_train is written. A posting nobody chose is given one applicant that fits it.

What the published features know
    recruitment.check_box_keyword  informative: codes of the posting's sub-trade, three in ten from elsewhere
    resume.text_keyword            fair: tokens of the main market's sub-trade, half of them from elsewhere
    company.supply_kind            fair: a hidden company posts in one sub-trade, and half the companies take its kind
    resume.updated_date            weak: the middle of the activity, blurred by two and a half months
    career_month, hope_salary, last_salary, recruitment.text_keyword   weak: they follow seniority; many are 0 or missing
    certificate_contents           weak: each sub-trade has one certificate that is three times as likely as elsewhere
    degree, job_code_seq1 against education, qualifications, major_task, address_seq1
                                   nearly nothing: Cramér's V of .01 to .04; published .01 to .06
    graduate_date, career_job_code through career_month only; reg_date through updated_date only
    univ_type_seq, univ_location, univ_major_type through degree only: 0 for those without a university
    company_type_seq, employee     weak: drawn without regard to anything, but once a company, whose postings are of one sub-trade
    everything else (school, majors, univ_score, language, job_code_seq2/3, ids)   noise
Ids are dealt without regard to any of this, and the rows of apply_train are shuffled. Integer codes carry no official
meaning here, and the Korean vocabularies are invented in the spirit of the printed examples.

Calibration, measured at the defaults: one random row a résumé held out, all postings ranked, seen ones masked, ties at
random. Recall@5 / @20: popularity .006 / .020, cosine user kNN .135 / .308, user and item Pearson (.8, .2) .133 / .304,
EASE (lambda 1000) .130 / .305, Multi-DAE (200, best epoch on these very rows) .145 / .341. Another draw of the world
moves these by about .01. A kNN on keywords and updated_date alone has .024 / .067 and lifts the Pearson model by 2 %; for
résumés without applications (cold_resume_share = .1) it has .025 where popularity has .008.
The defaults of SampleConfig are calibrated together and frozen: change one, or the order in which numbers are drawn,
and the calibration has to be measured anew and SAMPLE_VERSION raised.
Source of marginals and ranges: outputs printed in public notebooks of contest teams (paulms77/Recommender-System,
tooha289/DACON_Job-Recommendation-System). Where they print nothing, the choice is ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

SAMPLE_VERSION = 3  # raised whenever the same config would give other tables
BANNER = "SYNTHETIC - not Scout/DACON data"

# ---- published counts at full size; smaller samples scale them -------------------------------------------------------

FULL_RESUMES, FULL_POSTINGS, FULL_APPLICATIONS = 8_482, 6_695, 57_946

# label: (rows of its own table, applications that carry it)
DEGREE = {4: (7_453, 50_468), 3: (463, 3_537), 5: (349, 2_202), 2: (211, 1_688), 6: (6, 51)}
JOB_GROUP = {  # only the first count of résumés was printed; the others follow from the applications
    "재료·화학·섬유·의복": (7_288, 51_114),
    "디자인": (583, 3_343),
    "경영·기획·회계·사무": (452, 2_587),
    "영업·판매·TM": (150, 860),
    "건설·기계·전기·전자": (4, 21),
    "전문·교육·자격": (2, 11),
    "문화·예술·신문·방송": (1, 5),
    "IT·게임": (1, 3),
    "기타 직종": (1, 2),
}
EDUCATION = {3: (2_862, 24_104), 4: (2_188, 19_119), 2: (1_644, 14_712), 6: (1, 11)}
QUALIFICATIONS = {1: (4_492, 37_811), 2: (2_164, 19_724), 0: (39, 411)}
MAJOR_TASK = {2: (6_349, 54_954), 8: (220, 1_906), 7: (92, 797), 1: (29, 248), 9: (2, 21), 10: (2, 15), 6: (1, 5)}
ADDRESS = {  # one of the 3s is published as missing
    3: (6_491, 56_276),
    5: (178, 1_475),
    20: (14, 115),
    11: (4, 29),
    1: (4, 27),
    9: (2, 10),
    13: (1, 8),
    2: (1, 6),
}
CERTIFICATES_PER_RESUME = (2_516, 2_612, 1_503, 935, 508, 246, 132, 49, 18, 10, 2)  # résumés with 0, 1, ... 10
FULL_CERTIFICATES = 12_975
FULL_LANGUAGE_RESUMES, FULL_LANGUAGE_ROWS = 950, 998

# Applications by (résumé label, posting label): the cross-tabulations behind the tiny dependences.
CROSS_DEGREES = (2, 3, 4, 5, 6)
CROSS_JOBS = ("재료·화학·섬유·의복", "디자인", "경영·기획·회계·사무", "영업·판매·TM")
CROSS_LABELS = {"education": (2, 3, 4), "major_task": (1, 2, 7, 8), "qualifications": (0, 1, 2), "address": (3, 5)}
DEGREE_CROSS = {
    "education": ((516, 727, 445), (1_021, 1_602, 913), (12_633, 20_912, 16_914), (525, 844, 832), (17, 19, 15)),
    "major_task": (
        (7, 1_635, 27, 19),
        (12, 3_381, 54, 90),
        (223, 47_787, 688, 1_734),
        (6, 2_100, 28, 63),
        (0, 51, 0, 0),
    ),
    "qualifications": ((7, 1_211, 470), (27, 2_346, 1_164), (355, 32_768, 17_345), (21, 1_450, 731), (1, 36, 14)),
    "address": ((1_642, 40), (3_420, 97), (49_024, 1_283), (2_140, 54), (50, 1)),
}
JOB_CROSS = {
    "education": ((12_475, 21_613, 17_019), (1_167, 1_186, 986), (777, 967, 843), (284, 326, 250)),
    "major_task": ((202, 48_516, 683, 1_673), (25, 3_035, 83, 199), (17, 2_515, 24, 31), (4, 847, 6, 3)),
    "qualifications": ((265, 33_401, 17_448), (109, 2_207, 1_027), (33, 1_579, 975), (3, 598, 259)),
    "address": ((49_713, 1_245), (3_187, 126), (2_507, 75), (828, 28)),
}

# ---- vocabularies, invented ------------------------------------------------------------------------------------------

SUB_TRADE_TOKENS = (
    ("여성복디자이너", "여성복", "우븐디자이너", "스타일디자이너", "블라우스", "원피스"),
    ("남성복디자이너", "남성복", "신사복", "셔츠", "정장디자인", "캐주얼"),
    ("니트디자인", "니트", "니트디자이너", "스웨터", "편직", "다이마루"),
    ("패턴사", "패턴", "입체패턴", "패턴CAD", "그레이딩", "샘플패턴"),
    ("봉제", "생산관리", "생산", "재단", "공장관리", "샘플사"),
    ("소재기획", "원단", "소재디자인", "텍스타일", "원단개발", "직물"),
    ("가방디자인", "가방", "핸드백", "잡화디자이너", "지갑", "피혁"),
    ("신발디자인", "구두", "슈즈디자이너", "운동화", "신발", "제화"),
    ("주얼리디자인", "주얼리", "액세서리", "귀금속", "시계", "보석"),
    ("스포츠웨어", "아웃도어", "골프웨어", "스포츠디자이너", "등산복", "애슬레저"),
    ("아동복디자이너", "유아복", "아동복", "유아동", "베이비", "키즈"),
    ("언더웨어", "속옷디자인", "란제리", "이너웨어", "홈웨어", "수영복"),
    ("상품기획", "기획MD", "머천다이저", "머천다이징", "바잉MD", "상품MD"),
    ("온라인MD", "쇼핑몰", "웹기획", "이커머스", "상품등록", "쇼핑몰관리"),
    ("매장관리", "샵마스터", "판매", "매니저", "판매사원", "백화점"),
    ("VMD", "디스플레이", "매장연출", "비주얼머천다이저", "공간연출", "쇼윈도"),
    ("해외영업", "무역", "수출입", "바이어상담", "해외생산", "벤더"),
    ("마케팅", "홍보", "브랜드마케팅", "프로모션", "광고기획", "SNS운영"),
    ("그래픽디자이너", "일러스트레이터", "편집디자인", "프린트디자인", "웹디자인", "포토샵"),
    ("품질관리", "물류관리", "검품", "재고관리", "QC", "납기관리"),
)
SHARED_TOKENS = ("디자이너", "MD", "패션", "의류", "기획", "디자인", "브랜드", "코디네이터", "영업관리", "사무보조")
SUB_TRADE_CERTIFICATE = (4, 4, 5, 7, 7, 6, 8, 8, 8, 4, 4, 5, 9, 10, 9, 3, 11, 10, 2, 9)  # the row below that it favours
CERTIFICATE_SPELLINGS = (  # one certificate a row; the first spelling is the commonest
    ("자동차운전면허 2종 보통", "2종운전면허증", "운전면허2종보통", "운전면허 2종", "자동차운전면허증 2종보통", "2종보통운전면허"),
    ("자동차운전면허 1종 보통", "1종보통운전면허", "운전면허1종보통", "1종 운전면허증", "운전면허 1종"),
    ("컴퓨터그래픽스운용기능사", "컴퓨터그래픽스 운용기능사", "컴퓨터그래픽스운용기능사 자격증", "컴퓨터 그래픽스 운용기능사"),
    ("컬러리스트산업기사", "컬러리스트 산업기사", "컬러리스트기사", "칼라리스트산업기사", "컬러리스트산업기사 자격증"),
    ("의류기사", "의류기사 자격증", "의류 기사", "의류기사1급"),
    ("양장기능사", "양장 기능사", "양장기능사자격증", "양장기능사 2급"),
    ("섬유기사", "섬유 기사", "섬유산업기사", "섬유기사 자격증"),
    ("패션디자인산업기사", "패션디자인 산업기사", "패션디자인산업기사 자격증", "패턴메이킹", "패턴 메이킹"),
    ("제품디자인기사", "제품디자인산업기사", "제품 디자인 기사", "제품디자인기사 자격증"),
    ("유통관리사 2급", "유통관리사2급", "유통관리사", "유통관리사 2급 자격증"),
    ("MCAS MASTER", "MCAS Master", "MCAS", "마스터 MCAS"),
    ("무역영어 1급", "무역영어1급", "무역영어", "국제무역사"),
    ("컴퓨터활용능력 2급", "컴퓨터활용능력2급", "컴활2급", "컴활 2급", "컴퓨터 활용능력 2급"),
    ("워드프로세서 1급", "워드프로세서1급", "워드 1급", "워드프로세서 1급 자격증", "워드프로세서"),
    ("정보처리기능사", "정보처리 기능사", "정보처리기능사 자격증"),
    ("GTQ 1급", "GTQ1급", "GTQ", "그래픽기술자격 1급", "GTQ 포토샵 1급"),
    ("샵마스터 3급", "샵마스터3급", "샵마스터", "샵마스타 3급"),
    ("전산회계 2급", "전산회계2급", "전산회계", "회계전산 2급"),
    ("메이크업3급", "메이크업 3급", "메이크업"),
    ("주산2급", "주산 2급", "주산"),
    ("손해보험사", "손해보험", "손해 보험사"),
    ("수치제어밀링기능사", "수치제어 밀링기능사"),
)
CERTIFICATE_POPULARITY = (22, 9, 9, 6, 5, 4, 3, 4, 1, 5, 5, 2, 6, 6, 3, 4, 3, 2, 1, 1, 0.5, 0.3)
CAREER_FIELDS = ("섬유;봉제;가방;의류", "판매(도소매)", "학교;학원;직원훈련(교육서비스)", "무역;상사", "디자인;설계",
                 "광고;홍보", "쇼핑몰;온라인유통", "백화점;유통", "물류;운송", "금융;보험")  # fmt: skip
CAREER_FIELD_SHARES = (0.62, 0.08, 0.04, 0.06, 0.06, 0.03, 0.04, 0.04, 0.02, 0.01)
LEVEL_TOKENS = (("신입", "인턴", "아르바이트"), ("경력", "신입"), ("경력직", "팀장", "경력"))
TASK_CODES = tuple(
    f"{family}{number:02d}"
    for family, count in ((21, 10), (22, 10), (25, 8), (27, 10), (28, 12))
    for number in range(1, count + 1)
)
COMMON_TASK_CODES = ("2707", "2205", "2201", "2204", "2101")


@dataclass(frozen=True)
class SampleConfig:
    """Every knob of the sample. The defaults are calibrated together and frozen; see the module's docstring."""

    seed: int = 236170
    # the whole sample is a function of this and of the knobs below
    n_resumes: int = FULL_RESUMES
    # résumés, that is users
    n_postings: int = FULL_POSTINGS
    # postings, that is items
    n_applications: int = FULL_APPLICATIONS
    # distinct rows of apply_train; the hidden answers come on top
    min_applications: int = 2
    # published applications that every résumé has, cold ones excepted
    max_applications: int = 150
    # published applications that no résumé exceeds; a small sample lowers it to a quarter of its postings
    length_dispersion: float = 0.8
    # r of the negative binomial above the minimum; smaller is more uneven
    hidden_min: int = 1
    # fewest hidden applications of a résumé
    hidden_max: int = 5
    # most hidden applications of a résumé
    public_share: float = 0.3
    # share of résumés whose hidden applications count for the public board
    n_sub_trades: int = 17
    # sub-trades, at most as many as there are vocabularies (20); a small sample has one for every 100 postings, at least 2
    n_levels: int = 3
    # seniorities in a sub-trade
    market_skew: float = 0.3
    # Zipf exponent of the sizes of the micro-markets; 0 makes them equal
    second_market_share: float = 0.05
    # share of postings that belong to a second market as well
    market_concentration: float = 0.2
    # Dirichlet parameter of a résumé's market weights; smaller is more loyal to one market
    calendar_days: int = 274
    # length of the calendar, 2020-01-01 onwards
    open_days: float = 22.0
    # median days that a posting is open
    active_days: float = 80.0
    # median standard deviation, in days, of a résumé's activity around its own date
    active_days_sigma: float = 0.8
    # log-normal spread of that from résumé to résumé
    popularity_sigma: float = 0.9
    # log-normal spread of a posting's pull inside its market
    off_market_share: float = 0.05
    # share of applications that leave the résumé's markets; half of them keep to what is open that day
    lift_strength: float = 1.3
    # exponent of the planted lifts; 0 makes degree and job group pure noise
    keyword_noise: float = 0.5
    # share of a résumé's keywords that do not come from its sub-trade
    task_code_noise: float = 0.3
    # share of a posting's task codes that do not come from its sub-trade
    date_blur_days: float = 75.0
    # standard deviation between the middle of a résumé's activity and updated_date
    cold_posting_share: float = 0.0
    # share of postings without any published application; they occur in the hidden answers only
    cold_resume_share: float = 0.0
    # share of résumés with 0 or 1 published application
    duplicate_rows: int = 0
    # rows of apply_train that repeat another one, on top of n_applications

    def __post_init__(self) -> None:
        def need(holds: bool, name: str, wanted: str) -> None:
            if not holds:
                raise ValueError(f"SampleConfig.{name} = {getattr(self, name)!r}: {wanted}")

        need(self.seed >= 0, "seed", "0 or more")
        need(self.n_resumes >= 20, "n_resumes", "20 or more")
        need(self.n_postings >= 40, "n_postings", "40 or more")
        need(self.min_applications >= 1, "min_applications", "1 or more")
        need(self.max_applications > self.min_applications, "max_applications", "more than min_applications")
        need(self.length_dispersion > 0, "length_dispersion", "above 0")
        need(self.hidden_min >= 0, "hidden_min", "0 or more")
        need(self.hidden_max >= self.hidden_min, "hidden_max", "hidden_min or more")
        need(
            1 <= self.n_sub_trades <= len(SUB_TRADE_TOKENS), "n_sub_trades", f"from 1 to {len(SUB_TRADE_TOKENS)}"
        )
        need(1 <= self.n_levels <= len(LEVEL_TOKENS), "n_levels", f"from 1 to {len(LEVEL_TOKENS)}")
        need(self.market_skew >= 0, "market_skew", "0 or more")
        need(self.calendar_days >= 30, "calendar_days", "30 or more")
        for name in ("market_concentration", "open_days", "active_days"):
            need(getattr(self, name) > 0, name, "above 0")
        for name in ("active_days_sigma", "popularity_sigma", "lift_strength", "date_blur_days", "duplicate_rows"):
            need(getattr(self, name) >= 0, name, "0 or more")
        for name in ("public_share", "second_market_share", "off_market_share", "keyword_noise", "task_code_noise"):
            need(0 <= getattr(self, name) <= 1, name, "a share from 0 to 1")
        for name in ("cold_posting_share", "cold_resume_share"):
            need(0 <= getattr(self, name) <= 0.5, name, "a share from 0 to .5")
        need(self.duplicate_rows <= self.n_applications, "duplicate_rows", "no more than n_applications")

        n_warm_resumes = self.n_resumes - round(self.cold_resume_share * self.n_resumes)
        n_warm_postings = self.n_postings - round(self.cold_posting_share * self.n_postings)
        fewest = max(n_warm_resumes * self.min_applications + (self.n_resumes - n_warm_resumes), n_warm_postings)
        most = n_warm_resumes * self.longest_history // 2
        need(
            fewest <= self.n_applications <= most,
            "n_applications",
            f"from {fewest:,} (every résumé its minimum, every posting one) to {most:,} (half of what fits) "
            f"for {self.n_resumes:,} résumés and {self.n_postings:,} postings",
        )

    @property
    def longest_history(self) -> int:
        """Published applications that no résumé exceeds at this size."""
        return min(self.max_applications, self.n_postings // 4)


# Of strong_signals: what is planted, and what tells nothing of the choice. The catalogue's names, see job_postings.py.
STRONG_PLANTED = ("resume_keyword", "check_box_keyword")
STRONG_NOISE = (
    *("degree", "graduate_year", "hope_salary", "last_salary", "career_month", "reg_date", "updated_date", "updated_month"),
    *("job_codes", "career_job_code", "hischool_type_seq", "hischool_special_type", "hischool_nation", "hischool_gender"),
    *("hischool_location_seq", "univ_type_seq1", "univ_type_seq2", "univ_transfer", "univ_location", "univ_major"),
    *("univ_sub_major", "univ_major_type", "univ_score", "languages", "language_exams", "language_score"),
    "recruitment_keyword",
)


def strong_signals(seed: int) -> SampleConfig:
    """A small sample, not calibrated, in which two features tell much and most tell nothing: for tests of what finds them.

    Planted: resume_keyword (every token of it is from the sub-trade in which the résumé applies, or common to all) and
    check_box_keyword (every code is from the posting's sub-trade). Résumés have 3.3 applications on average, so that most
    are known by too little for an id to say the same.

    Noise: the features of STRONG_NOISE. There is one seniority, so what follows seniority follows nothing; nearly all
    postings are open all the time, so dates say nothing; and the planted lifts of degree and job group are off.

    Neither: supply_kind, company_type_seq and employee, which tell the sub-trade a second time through the company;
    certificates, one of which is commoner in each sub-trade; addresses, education, major_task and qualifications, whose
    rare labels are dealt by the applications that they carry, and so by popularity.
    """
    return SampleConfig(
        seed=seed,
        n_resumes=5_000,
        n_postings=600,
        n_applications=16_500,
        max_applications=40,
        n_sub_trades=4,
        n_levels=1,
        market_skew=0.0,
        second_market_share=0.0,
        market_concentration=0.02,
        open_days=10_000.0,
        popularity_sigma=0.7,
        off_market_share=0.02,
        lift_strength=0.0,
        keyword_noise=0.0,
        task_code_noise=0.0,
    )


@dataclass(frozen=True)
class Sample:
    """A drawn sample.

    tables: raw frames by file stem, exactly as the CSV files hold them.
    answers: hidden further applications: resume_seq, recruitment_seq, part ('public' or 'private', one per résumé).
    """

    tables: dict[str, pd.DataFrame]
    answers: pd.DataFrame


def generate_sample(config: SampleConfig = SampleConfig()) -> Sample:
    """Draw the eight tables and the hidden answers.

    The same config gives the same sample; no global random state is read or changed.

    Args:
        config: see SampleConfig; its defaults give the full size, 8,482 résumés, 6,695 postings, 57,946 applications.
    Returns:
        Sample whose tables are apply_train, resume, resume_certificate, resume_education, resume_language,
        recruitment, company, sample_submission.
    """
    # One stream a purpose: a knob of the features leaves the applications as they are.
    world_rng, length_rng, choice_rng, split_rng, posting_rng, resume_rng, side_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(7)
    )
    world = _draw_world(config, world_rng)
    n_published, n_hidden = _draw_lengths(config, length_rng)
    labels = {
        "degree": _deal(length_rng, DEGREE, n_published),
        "job": _deal(length_rng, JOB_GROUP, n_published),
        "education": _shuffled_labels(length_rng, EDUCATION, config.n_postings),
        "qualifications": _shuffled_labels(length_rng, QUALIFICATIONS, config.n_postings),
        "major_task": _shuffled_labels(length_rng, MAJOR_TASK, config.n_postings),
        "address": _shuffled_labels(length_rng, ADDRESS, config.n_postings),
    }
    published, hidden = _draw_applications(config, world, labels, n_published, n_hidden, choice_rng, split_rng)

    # The rare codes are carried by a handful of postings, so chance would miss their totals: a few postings of
    # one label trade it with postings of another until the labels carry the published number of applications.
    per_posting = np.bincount(published[:, 1], minlength=config.n_postings)
    for name, counts in (
        ("education", EDUCATION),
        ("qualifications", QUALIFICATIONS),
        ("major_task", MAJOR_TASK),
        ("address", ADDRESS),
    ):
        labels[name] = _trade_to_totals(posting_rng, labels[name], per_posting, counts)

    resume_ids = np.array([f"U{i + 1:05d}" for i in range(config.n_resumes)])
    posting_ids = np.array([f"R{i + 1:05d}" for i in range(config.n_postings)])
    rows = published[split_rng.permutation(len(published))]
    if config.duplicate_rows:
        repeated = rows[split_rng.choice(len(rows), config.duplicate_rows, replace=False)]
        rows = np.concatenate([rows, repeated])[split_rng.permutation(len(rows) + config.duplicate_rows)]

    def pairs(users: np.ndarray, items: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"resume_seq": resume_ids[users], "recruitment_seq": posting_ids[items]})

    tables = {
        "apply_train": pairs(rows[:, 0], rows[:, 1]),
        "resume": _resume_table(config, world, labels, resume_ids, resume_rng),
        "resume_certificate": _certificate_table(config, world, resume_ids, side_rng),
        "resume_education": _education_table(labels["degree"], resume_ids, side_rng),
        "resume_language": _language_table(config, resume_ids, side_rng),
        "recruitment": _recruitment_table(config, world, labels, posting_ids, posting_rng),
        "company": _company_table(world, posting_ids, posting_rng),
        "sample_submission": pairs(*_popular_unseen(published, config)),
    }
    hidden = hidden[np.lexsort((hidden[:, 1], hidden[:, 0]))]
    answers = pairs(hidden[:, 0], hidden[:, 1])
    is_public = np.array([_hash_share(config.seed, resume_id) < config.public_share for resume_id in resume_ids])
    answers["part"] = np.where(is_public[hidden[:, 0]], "public", "private")
    return Sample(tables, answers)


def write_sample(directory: str | os.PathLike[str], config: SampleConfig = SampleConfig()) -> Path:
    """Write the sample as a folder of CSV files, whole or not at all.

    The folder gets the eight `<stem>.csv` (UTF-8, `\\n`), `SYNTHETIC.txt` (banner and config), and
    `hidden/answers.csv`, which a reader of the folder does not take for an input. It is filled under a temporary name
    beside the target and renamed.

    Args:
        directory: the folder to make; an earlier sample there is replaced.
        config: what to draw.
    Returns:
        The folder's path.
    Raises:
        FileExistsError: the folder holds files but no SYNTHETIC.txt: they may be someone's data.
    """
    target = Path(directory)
    if target.exists() and not _is_sample_or_empty(target):
        raise FileExistsError(
            f"{target} holds files and no SYNTHETIC.txt, so they are not an earlier sample; "
            "name another folder, or an empty one, for the synthetic sample"
        )
    sample = generate_sample(config)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".draft", dir=target.parent))
    try:
        for stem, table in sample.tables.items():
            table.to_csv(draft / f"{stem}.csv", index=False, encoding="utf-8", lineterminator="\n")
        (draft / "hidden").mkdir()
        sample.answers.to_csv(draft / "hidden" / "answers.csv", index=False, encoding="utf-8", lineterminator="\n")
        (draft / "SYNTHETIC.txt").write_bytes(_banner_text(config).encode("utf-8"))
        draft.chmod(0o755)  # mkdtemp makes folders that only their owner can open
        _put_in_place(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target


def sample_fingerprint(config: SampleConfig = SampleConfig()) -> str:
    """Twelve hex digits that name the sample: a hash of every knob and of SAMPLE_VERSION.

    Equal configs have equal fingerprints, on every machine; another version of this generator has others.
    """
    text = json.dumps({"version": SAMPLE_VERSION, **asdict(config)}, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


# ---- the hidden world ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _World:
    """What nobody publishes. Markets are numbered sub_trade * n_levels + level; days count from 2020-01-01."""

    n_sub_trades: int
    n_levels: int
    posting_market: np.ndarray  # (n_postings,) the main market
    second_market: np.ndarray  # (n_postings,) a second one, -1 = none
    opens: np.ndarray  # (n_postings,) day, may be negative: open since last year
    closes: np.ndarray  # (n_postings,)
    pull: np.ndarray  # (n_postings,) popularity inside the market
    company: np.ndarray  # (n_postings,) hidden company
    company_sub_trade: np.ndarray  # (n_companies,)
    resume_markets: np.ndarray  # (n_resumes, 3)
    market_weights: np.ndarray  # (n_resumes, 3) rows sum to 1
    active_day: np.ndarray  # (n_resumes,) middle of the activity
    active_days: np.ndarray  # (n_resumes,) standard deviation of the activity
    is_cold_posting: np.ndarray  # (n_postings,) bool

    @property
    def resume_main_market(self) -> np.ndarray:
        """(n_resumes,) the market with the largest weight."""
        return self.resume_markets[np.arange(len(self.resume_markets)), self.market_weights.argmax(1)]


def _draw_world(config: SampleConfig, rng: np.random.Generator) -> _World:
    n_sub_trades = min(config.n_sub_trades, max(2, config.n_postings // 100))
    n_markets = n_sub_trades * config.n_levels
    size = rng.permutation((1.0 + np.arange(n_markets)) ** -config.market_skew)
    size /= size.sum()

    n = config.n_postings
    posting_market = rng.choice(n_markets, n, p=size)
    other = rng.choice(n_markets, n, p=size)
    has_second = (rng.random(n) < config.second_market_share) & (other != posting_market)
    days_open = np.clip(config.open_days * np.exp(0.3 * rng.standard_normal(n)), 2, 3 * config.open_days)
    opens = rng.uniform(-config.open_days, config.calendar_days, n)
    pull = np.exp(config.popularity_sigma * rng.standard_normal(n))

    # Companies stay in one sub-trade; about 2.5 postings each, a few have dozens.
    n_companies = max(n_sub_trades, round(n / 2.5))
    company_sub_trade = np.concatenate([np.arange(n_sub_trades), rng.integers(n_sub_trades, size=n_companies)])
    company_size = rng.lognormal(0, 1.2, len(company_sub_trade))
    company = np.empty(n, dtype=np.int64)
    for sub_trade in range(n_sub_trades):
        here = np.flatnonzero(posting_market // config.n_levels == sub_trade)
        candidates = np.flatnonzero(company_sub_trade == sub_trade)
        share = company_size[candidates] / company_size[candidates].sum()
        company[here] = rng.choice(candidates, len(here), p=share)

    n = config.n_resumes
    resume_markets = rng.choice(n_markets, (n, 3), p=size)
    weights = rng.gamma(config.market_concentration, 1, (n, 3)) + 1e-12
    weights[np.arange(3) >= rng.integers(1, 4, n)[:, None]] = 0
    active_days = config.active_days * np.exp(config.active_days_sigma * rng.standard_normal(n))

    is_cold_posting = np.zeros(config.n_postings, dtype=bool)
    n_cold = round(config.cold_posting_share * config.n_postings)
    is_cold_posting[rng.choice(config.n_postings, n_cold, replace=False)] = True
    return _World(
        n_sub_trades=n_sub_trades,
        n_levels=config.n_levels,
        posting_market=posting_market,
        second_market=np.where(has_second, other, -1),
        opens=opens,
        closes=opens + days_open,
        pull=pull,
        company=company,
        company_sub_trade=company_sub_trade,
        resume_markets=resume_markets,
        market_weights=weights / weights.sum(1, keepdims=True),
        active_day=rng.uniform(0, config.calendar_days, n),
        active_days=np.minimum(active_days, config.calendar_days),
        is_cold_posting=is_cold_posting,
    )


def _draw_lengths(config: SampleConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Published and hidden applications of each résumé, (n_resumes,) each; the first sum to n_applications."""
    n_cold = round(config.cold_resume_share * config.n_resumes)
    is_cold = np.zeros(config.n_resumes, dtype=bool)
    is_cold[rng.choice(config.n_resumes, n_cold, replace=False)] = True
    published = np.where(is_cold, rng.integers(0, 2, config.n_resumes), 0)

    n_warm, shortest, longest = config.n_resumes - n_cold, config.min_applications, config.longest_history
    total = config.n_applications - int(published.sum())
    r, mean = config.length_dispersion, total / n_warm - shortest
    extra = rng.poisson(rng.gamma(r, mean / r, n_warm)) if mean > 0 else np.zeros(n_warm, dtype=np.int64)
    warm = np.minimum(shortest + extra, longest)
    while (missing := total - int(warm.sum())) != 0:  # chance is off by a percent; single applications mend it
        free = np.flatnonzero(warm < longest if missing > 0 else warm > shortest)
        warm[rng.choice(free, min(abs(missing), len(free)), replace=False)] += np.sign(missing)
    published[~is_cold] = warm
    hidden = config.hidden_min + rng.binomial(config.hidden_max - config.hidden_min, 0.25, config.n_resumes)
    return published, hidden


# ---- labels with published totals ------------------------------------------------------------------------------------


def _scaled_counts(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in proportion to shares that sum to total (largest remainders)."""
    exact = np.asarray(shares, dtype=float) / np.sum(shares) * total
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _shuffled_labels(rng: np.random.Generator, counts: dict, n: int) -> np.ndarray:
    """(n,) positions in counts, in the proportions of its rows."""
    rows = _scaled_counts(np.array([rows for rows, _ in counts.values()]), n)
    return rng.permutation(np.repeat(np.arange(len(rows)), rows))


def _deal(rng: np.random.Generator, counts: dict, applications: np.ndarray) -> np.ndarray:
    """Labels in the published proportions whose holders make the published numbers of applications."""
    return _trade_to_totals(rng, _shuffled_labels(rng, counts, len(applications)), applications, counts)


def _trade_to_totals(
    rng: np.random.Generator, labels: np.ndarray, applications: np.ndarray, counts: dict
) -> np.ndarray:
    """Swap labels between pairs until each label carries its share of the applications, as near as pairs allow.

    Args:
        labels: (n,) positions in counts.
        applications: (n,) applications of each row.
        counts: label -> (rows, applications) at full size.
    Returns:
        (n,) labels, each as often as before.
    """
    labels = labels.copy()
    wanted = _scaled_counts(np.array([total for _, total in counts.values()]), int(applications.sum()))
    present = np.bincount(labels, minlength=len(counts)) > 0
    for _ in range(2_000):
        surplus = np.bincount(labels, weights=applications, minlength=len(counts)).astype(np.int64) - wanted
        surplus[~present] = 0
        if not surplus.any():
            break
        rich, poor = int(surplus.argmax()), int(surplus.argmin())
        most = min(surplus[rich], -surplus[poor])
        if most <= 0:  # the rest belongs to labels that this small sample lacks
            break
        # Random improving pairs rather than the best one: the best would send all long histories to one label.
        giver = rng.choice(np.flatnonzero(labels == rich), 256)
        taker = rng.choice(np.flatnonzero(labels == poor), 256)
        gain = applications[giver] - applications[taker]
        useful = np.flatnonzero((gain > 0) & (gain <= most))
        if len(useful) == 0:
            useful = np.flatnonzero((gain > 0) & (gain < 2 * most))
            if len(useful) == 0:  # a handful of postings each: let the commonest label stand between them
                poor = int(np.bincount(labels).argmax())
                if poor == rich:
                    continue
                taker = rng.choice(np.flatnonzero(labels == poor), 256)
                gain = applications[giver] - applications[taker]
                useful = np.flatnonzero((gain > 0) & (gain <= surplus[rich]))
                if len(useful) == 0:
                    continue
        pick = useful[gain[useful].argmax()] if most <= 10 else useful[0]
        labels[giver[pick]], labels[taker[pick]] = poor, rich
    return labels


def _lift_table(strength: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """How much likelier a résumé's labels make a posting's labels.

    lift(a, b) = N(a, b) N / (N(a) N(b)), with 5 applications added to observed and expected so that a cell of two or
    three decides nothing; 1 where nothing was printed; the product of all eight tables, to the power of strength.

    Returns:
        table: (n_degrees * n_jobs, n_posting_cells) weights; the lifts are clipped to [1/5, 5].
        steps: for each posting feature, (n_labels,) what its label adds to the cell's number.
    """
    posting_counts = {"education": EDUCATION, "major_task": MAJOR_TASK, "qualifications": QUALIFICATIONS,
                      "address": ADDRESS}  # fmt: skip

    def lift(cross: tuple, row_names: tuple, rows: dict, name: str) -> np.ndarray:
        seen = np.asarray(cross, dtype=float)
        expected = seen.sum(1, keepdims=True) * seen.sum(0, keepdims=True) / seen.sum()
        full = np.ones((len(rows), len(posting_counts[name])))
        at = [list(rows).index(row) for row in row_names], [list(posting_counts[name]).index(c) for c in CROSS_LABELS[name]]
        full[np.ix_(*at)] = (seen + 5) / (expected + 5)
        return full

    table, steps, size = np.ones((len(DEGREE) * len(JOB_GROUP), 1)), {}, 1
    for name, counts in posting_counts.items():
        by_degree = lift(DEGREE_CROSS[name], CROSS_DEGREES, DEGREE, name)
        by_job = lift(JOB_CROSS[name], CROSS_JOBS, JOB_GROUP, name)
        both = (by_degree[:, None, :] * by_job[None, :, :]).reshape(len(table), len(counts))
        table = (both[:, :, None] * table[:, None, :]).reshape(len(table), -1)  # this feature's label is the slow axis
        steps[name] = size * np.arange(len(counts))
        size *= len(counts)
    table = np.clip(table**strength, 1 / 5, 5)

    # A label draws as many applications as published, whoever sends them: without this the rare qualifications 0,
    # which most résumés avoid, would have too few, and making them up afterwards would dilute the dependence.
    share = np.outer(*(np.array([total for _, total in counts.values()], float) for counts in (DEGREE, JOB_GROUP)))
    table /= share.ravel() @ table / share.sum()
    for name, counts in posting_counts.items():
        mean = np.array([total / rows for rows, total in counts.values()]) / (FULL_APPLICATIONS / FULL_POSTINGS)
        label = np.arange(table.shape[1]) // steps[name][1] % len(counts)
        table *= np.clip(mean, 0.5, 2)[label] ** (strength > 0)
    return table, steps


# ---- who applies where -----------------------------------------------------------------------------------------------


def _draw_applications(
    config: SampleConfig,
    world: _World,
    labels: dict[str, np.ndarray],
    n_published: np.ndarray,
    n_hidden: np.ndarray,
    choice_rng: np.random.Generator,
    split_rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(n_applications, 2) published and (n, 2) hidden pairs (résumé, posting), all distinct."""
    n_postings, is_cold = config.n_postings, world.is_cold_posting
    propose = _Proposals(config, world, labels)
    everything = np.ones(n_postings, dtype=bool)
    codes = _fill(propose, n_published + n_hidden, np.zeros(0, dtype=np.int64), everything, choice_rng)

    # A random part of each résumé's applications is hidden, those to cold postings first.
    order = np.lexsort((split_rng.random(len(codes)), ~is_cold[codes % n_postings], codes // n_postings))
    codes = codes[order]
    user = codes // n_postings
    place = np.arange(len(codes)) - np.searchsorted(user, user)
    is_hidden = place < n_hidden[user]
    hidden, published = codes[is_hidden], codes[~is_hidden]
    if is_cold.any():  # a résumé with more of them than it hides applies elsewhere instead
        published = published[~is_cold[published % n_postings]]
        published = _fill(propose, n_published, published, ~is_cold, choice_rng, forbidden=hidden)
    published = _give_everyone_an_applicant(world, published, hidden, n_postings, choice_rng)
    return np.column_stack(np.divmod(published, n_postings)), np.column_stack(np.divmod(hidden, n_postings))


class _Proposals:
    """Draws (résumé, posting) proposals from the world, market and day first, then the lifts."""

    def __init__(self, config: SampleConfig, world: _World, labels: dict[str, np.ndarray]) -> None:
        self.config, self.world = config, world
        self.n_postings = config.n_postings
        # All markets lie one after another on one time axis, far enough apart that windows do not reach the next.
        self.longest_open = float((world.closes - world.opens).max())
        self.period = config.calendar_days + 4 * self.longest_open
        second = np.flatnonzero(world.second_market >= 0)
        posting = np.concatenate([np.arange(self.n_postings), second])
        market = np.concatenate([world.posting_market, world.second_market[second]])
        self.in_markets = self._sorted_axis(posting, market * self.period + world.opens[posting])
        self.anywhere = self._sorted_axis(np.arange(self.n_postings), world.opens)

        table, steps = _lift_table(config.lift_strength)
        self.keep = np.minimum(table / 5, 1)  # the mean weight is 1: about one proposal in five is kept
        self.resume_cell = labels["degree"] * len(JOB_GROUP) + labels["job"]
        self.posting_cell = sum(steps[name][labels[name]] for name in steps)

    def _sorted_axis(self, posting: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        order = np.argsort(at, kind="stable")
        return posting[order], at[order], np.concatenate([[0.0], self.world.pull[posting[order]].cumsum()])

    def _open_at(self, axis: tuple, at: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One posting in proportion to its pull among those opened within longest_open days before `at`."""
        posting, opens, pull_before = axis
        first = np.searchsorted(opens, at - self.longest_open, side="left")
        last = np.searchsorted(opens, at, side="right")
        low, high = pull_before[first], pull_before[last]
        drawn = np.searchsorted(pull_before, low + (high - low) * rng.random(len(at)), side="right") - 1
        return posting[np.clip(drawn, 0, len(posting) - 1)], last > first

    def draw(self, user: np.ndarray, despair: float, rng: np.random.Generator) -> np.ndarray:
        """Kept proposals as codes user * n_postings + posting; despair is added to the share that leaves the market."""
        world, days = self.world, self.config.calendar_days
        slot = (rng.random((len(user), 1)) > world.market_weights[user].cumsum(1)).sum(1)
        market = world.resume_markets[user, np.minimum(slot, 2)]
        day = world.active_day[user] + world.active_days[user] * rng.standard_normal(len(user))
        day = _folded(day, days)

        leaves = rng.random(len(user)) < self.config.off_market_share + despair
        any_day = leaves & (rng.random(len(user)) < 0.5)
        inside, inside_open = self._open_at(self.in_markets, market * self.period + day, rng)
        outside, outside_open = self._open_at(self.anywhere, day, rng)
        whole = self.anywhere[2]
        wherever = self.anywhere[0][np.searchsorted(whole, whole[-1] * rng.random(len(user)), side="right") - 1]

        posting = np.where(any_day, wherever, np.where(leaves, outside, inside))
        is_open = np.where(leaves, outside_open, inside_open) & (day <= world.closes[posting])
        wanted = rng.random(len(user)) < self.keep[self.resume_cell[user], self.posting_cell[posting]]
        return (user * self.n_postings + posting)[wanted & (is_open | any_day)]


def _fill(
    propose: _Proposals,
    quota: np.ndarray,
    taken: np.ndarray,
    allowed: np.ndarray,
    rng: np.random.Generator,
    forbidden: np.ndarray | None = None,
) -> np.ndarray:
    """Add distinct proposals to `taken` until user u has quota[u] of them.

    Args:
        quota: (n_resumes,).
        taken: (n,) codes there already.
        allowed: (n_postings,) bool.
        forbidden: codes that may not be drawn.
    Returns:
        (quota.sum(),) codes.
    """
    n_postings = propose.n_postings
    closed = np.zeros(0, dtype=np.int64) if forbidden is None else forbidden
    for attempt in range(1_000):
        lacking = quota - np.bincount(taken // n_postings, minlength=len(quota))
        if not lacking.any():
            return taken
        # Five proposals a place, since the lifts keep about one in five. A résumé that is still short
        # after ten rounds has run out of open postings in its market, and looks further and further afield.
        user = np.repeat(np.arange(len(quota)), 5 * lacking)
        new = np.unique(propose.draw(user, min(0.02 * max(attempt - 10, 0), 0.9), rng))
        new = new[allowed[new % n_postings] & ~np.isin(new, taken) & ~np.isin(new, closed)]
        new = new[np.lexsort((rng.random(len(new)), new // n_postings))]
        user = new // n_postings
        place = np.arange(len(new)) - np.searchsorted(user, user)
        taken = np.concatenate([taken, new[place < lacking[user]]])
    raise RuntimeError(f"{int(lacking.sum()):,} applications found no posting in 1,000 rounds; are there enough postings?")


def _give_everyone_an_applicant(
    world: _World, published: np.ndarray, hidden: np.ndarray, n_postings: int, rng: np.random.Generator
) -> np.ndarray:
    """Every warm posting gets one published application, from a fitting résumé that gives up a busier posting."""
    user, posting = np.divmod(published, n_postings)
    n_applicants = np.bincount(posting, minlength=n_postings)
    rows_of = np.argsort(user, kind="stable")
    ends = np.cumsum(np.bincount(user, minlength=len(world.active_day)))
    known = set(published.tolist()) | set(hidden.tolist())
    main_market = world.resume_main_market
    for lonely in np.flatnonzero((n_applicants == 0) & ~world.is_cold_posting):
        middle = (world.opens[lonely] + world.closes[lonely]) / 2
        distance = np.abs(world.active_day - middle) / world.active_days
        distance += 4.0 * (main_market != world.posting_market[lonely]) + rng.exponential(1.0, len(distance))
        for candidate in np.argsort(distance, kind="stable"):
            rows = rows_of[(ends[candidate - 1] if candidate else 0) : ends[candidate]]
            rows = rows[n_applicants[posting[rows]] > 1]
            if len(rows) == 0 or candidate * n_postings + lonely in known:
                continue
            row = rows[n_applicants[posting[rows]].argmax()]
            known.discard(int(user[row] * n_postings + posting[row]))
            known.add(int(candidate * n_postings + lonely))
            n_applicants[posting[row]] -= 1
            n_applicants[lonely] += 1
            posting[row] = lonely
            break
    return user * n_postings + posting


def _popular_unseen(published: np.ndarray, config: SampleConfig) -> tuple[np.ndarray, np.ndarray]:
    """The five most applied-for postings that a résumé has not applied to: a valid, dull submission."""
    users, postings = published.T
    n_seen = np.bincount(users, minlength=config.n_resumes)
    by_popularity = np.argsort(-np.bincount(postings, minlength=config.n_postings), kind="stable")
    short_list = by_popularity[: 5 + n_seen.max()]
    place = np.full(config.n_postings, -1)
    place[short_list] = np.arange(len(short_list))
    seen = np.zeros((config.n_resumes, len(short_list)), dtype=bool)
    listed = place[postings] >= 0
    seen[users[listed], place[postings[listed]]] = True
    top = np.argsort(seen, axis=1, kind="stable")[:, :5]
    return np.repeat(np.arange(config.n_resumes), 5), short_list[top].ravel()


# ---- the published tables --------------------------------------------------------------------------------------------

_FIRST_DAY = np.datetime64("2020-01-01")


def _dates(days: np.ndarray) -> np.ndarray:
    """Days from 2020-01-01 as YYYY-MM-DD."""
    return (_FIRST_DAY + np.floor(days).astype("timedelta64[D]")).astype(str)


def _folded(days: np.ndarray, end: float) -> np.ndarray:
    """Days folded back into [0, end] at both ends, so that none pile up there; what is far outside is clipped."""
    return np.clip(end - np.abs(end - np.abs(days)), 0, end)


def _with_missing(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Strings with NaN where missing."""
    out = np.asarray(values, dtype=object)
    out[missing] = np.nan
    return out


def _label_values(counts: dict, labels: np.ndarray) -> np.ndarray:
    return np.array(list(counts))[labels]


def _joined_tokens(rng: np.random.Generator, tokens: np.ndarray, n_each: np.ndarray) -> np.ndarray:
    """Each row's first n_each distinct tokens, joined by ';'. tokens: (n, m) str."""
    rows = zip(tokens.tolist(), n_each.tolist(), strict=True)
    return np.array([";".join(list(dict.fromkeys(row))[:n]) for row, n in rows], dtype=object)


def _resume_table(
    config: SampleConfig,
    world: _World,
    labels: dict[str, np.ndarray],
    resume_ids: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    n = len(resume_ids)
    sub_trade, level = np.divmod(world.resume_main_market, world.n_levels)
    degree = _label_values(DEGREE, labels["degree"])

    updated = world.active_day + config.date_blur_days * rng.standard_normal(n)
    updated = _folded(updated, config.calendar_days - 1)
    age = np.where(rng.random(n) < 0.25, rng.exponential(5, n), rng.exponential(500, n))
    registered = np.maximum(np.floor(updated) - np.floor(age), -10 * 365)

    started = level + rng.normal(0, 0.8, n)  # years in the trade follow seniority, loosely
    career = np.round(np.exp(rng.normal(3.0 + 0.5 * np.clip(started, -1, 3), 0.8, n))).astype(np.int64)
    career = np.where(rng.random(n) < 0.28 - 0.1 * (level - 1), 0, np.minimum(career, 420))
    salary = 3200 * np.exp(0.1 * (level - 1) + 0.05 * (degree - 4) + rng.normal(0, 0.27, n))
    hope = np.where(rng.random(n) < 0.4, 0, np.maximum(np.round(salary / 100) * 100, 1500))
    last = np.round(salary * rng.normal(0.93, 0.08, n) / 100) * 100
    last = np.where((career == 0) | (rng.random(n) < 0.15), 0, np.maximum(last, 1200))
    graduated = np.clip(2020 - career // 12 - rng.poisson(4, n), 1975, 2020)
    graduated = np.where(rng.random(n) < 0.35, 0, graduated)

    vocabulary = np.array(SUB_TRADE_TOKENS)
    own = vocabulary[sub_trade[:, None], rng.integers(vocabulary.shape[1], size=(n, 12))]
    foreign = rng.choice(vocabulary.ravel(), (n, 12))
    shared = rng.choice(np.array(SHARED_TOKENS), (n, 12))
    strange = np.where(rng.random((n, 12)) < 0.5, foreign, shared)
    tokens = np.where(rng.random((n, 12)) < config.keyword_noise, strange, own)
    keywords = _joined_tokens(rng, tokens, np.minimum(1 + rng.poisson(1.8, n), 8))

    other_jobs = np.array([rows for rows, _ in JOB_GROUP.values()], dtype=float) + 300
    second, third = rng.choice(np.array(list(JOB_GROUP)), (2, n), p=other_jobs / other_jobs.sum())
    has_second = rng.random(n) < 0.18
    field = rng.choice(np.array(CAREER_FIELDS), n, p=CAREER_FIELD_SHARES)
    return pd.DataFrame(
        {
            "resume_seq": resume_ids,
            "reg_date": _dates(registered),
            "updated_date": _dates(updated),
            "degree": degree,
            "graduate_date": graduated,
            "hope_salary": hope.astype(float),
            "last_salary": last.astype(float),
            "text_keyword": _with_missing(keywords, rng.random(n) < 0.06),
            "job_code_seq1": _label_values(JOB_GROUP, labels["job"]),
            "job_code_seq2": _with_missing(second, ~has_second),
            "job_code_seq3": _with_missing(third, ~has_second | (rng.random(n) < 0.6)),
            "career_month": career,
            "career_job_code": _with_missing(field, (career == 0) | (rng.random(n) < 0.2)),
        }
    )


def _certificate_table(
    config: SampleConfig, world: _World, resume_ids: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    n = len(resume_ids)
    per_count = _scaled_counts(np.array(CERTIFICATES_PER_RESUME), n)
    n_each = rng.permutation(np.repeat(np.arange(len(per_count)), per_count))
    total = round(FULL_CERTIFICATES / FULL_RESUMES * n)
    while (missing := total - int(n_each.sum())) != 0:  # the printed counts are good to a percent
        free = np.flatnonzero((n_each > 0) & (n_each < 3) if missing > 0 else n_each > 1)
        n_each[rng.choice(free, min(abs(missing), len(free)), replace=False)] += np.sign(missing)

    # Distinct certificates: the n_each largest of Gumbel-perturbed popularities, the sub-trade's favourite raised.
    popularity = np.log(np.array(CERTIFICATE_POPULARITY))
    favourite = np.array(SUB_TRADE_CERTIFICATE)[world.resume_main_market // world.n_levels]
    score = popularity + rng.gumbel(size=(n, len(popularity)))
    score[np.arange(n), favourite] += np.log(3.0)
    ranked = np.argsort(-score, axis=1, kind="stable")
    holder = np.repeat(np.arange(n), n_each)
    place = np.arange(len(holder)) - np.searchsorted(holder, holder)
    certificate = ranked[holder, place]

    n_spellings = np.array([len(spellings) for spellings in CERTIFICATE_SPELLINGS])
    spelling = (rng.random(len(holder)) ** 1.8 * n_spellings[certificate]).astype(np.int64)  # the first are commoner
    chosen = zip(certificate.tolist(), spelling.tolist(), strict=True)
    text = np.array([CERTIFICATE_SPELLINGS[c][s] for c, s in chosen], dtype=object)
    text = _with_missing(text, rng.random(len(text)) < 0.001)
    table = pd.DataFrame({"resume_seq": resume_ids[holder], "certificate_contents": text})
    return table.iloc[rng.permutation(len(table))].reset_index(drop=True)


def _education_table(degree_label: np.ndarray, resume_ids: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """One row a résumé; codes of the university part are 0 where the highest degree is a school's."""
    n = len(resume_ids)
    university = _label_values(DEGREE, degree_label) > 2
    region = rng.choice([3, 5, 1, 2, 9, 11, 13, 20], n, p=[0.36, 0.2, 0.1, 0.09, 0.08, 0.07, 0.06, 0.04])
    moved = rng.random(n) < 0.3
    univ_region = np.where(moved, rng.permutation(region), region)
    band = rng.choice(4, n, p=[0.035, 0.094, 0.728, 0.143])
    in_band = np.column_stack(
        [
            np.zeros(n),
            rng.choice([40, 50, 60], n, p=[0.1, 0.2, 0.7]),
            rng.choice([70, 80], n, p=[0.45, 0.55]),
            rng.choice([90, 100], n, p=[0.85, 0.15]),
        ]
    )
    majors = rng.choice(np.array(["의류학", "패션디자인", "섬유공학", "산업디자인", "경영학"]), n)
    sub_majors = rng.choice(np.array(["경영학", "시각디자인", "의상학", "국제통상"]), n)
    return pd.DataFrame(
        {
            "resume_seq": resume_ids,
            "hischool_type_seq": rng.choice([21, 16, 17, 20], n, p=[0.8, 0.12, 0.05, 0.03]),
            "hischool_special_type": rng.choice(np.array(["일반고", "특성화고"]), n, p=[0.86, 0.14]),
            "hischool_nation": rng.choice(np.array(["사립", "공립", "국립"]), n, p=[0.5, 0.48, 0.02]),
            "hischool_gender": rng.choice(np.array(["여자학교", "남여공학", "남자학교"]), n, p=[0.45, 0.38, 0.17]),
            "hischool_location_seq": region,
            "univ_type_seq1": np.where(university, rng.choice([5, 4, 3], n, p=[0.85, 0.1, 0.05]), 0),
            "univ_type_seq2": np.where(university, rng.choice([5, 4, 3], n, p=[0.85, 0.1, 0.05]), 0),
            "univ_transfer": (university & (rng.random(n) < 0.04)).astype(np.int64),
            "univ_location": np.where(university, univ_region, 0),
            "univ_major": _with_missing(majors, rng.random(n) < 0.96),
            "univ_sub_major": _with_missing(sub_majors, rng.random(n) < 0.98),
            "univ_major_type": np.where(university, rng.choice([9, 8, 4, 2, 1], n, p=[0.45, 0.3, 0.12, 0.08, 0.05]), 0),
            "univ_score": in_band[np.arange(n), band],
        }
    )


def _language_table(config: SampleConfig, resume_ids: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    n_holders = max(1, round(FULL_LANGUAGE_RESUMES / FULL_RESUMES * len(resume_ids)))
    n_again = round((FULL_LANGUAGE_ROWS - FULL_LANGUAGE_RESUMES) / FULL_RESUMES * len(resume_ids))
    holders = rng.choice(len(resume_ids), n_holders, replace=False)
    first = rng.choice([2, 4, 3, 8, 9], n_holders, p=[0.78, 0.1, 0.06, 0.03, 0.03])
    again = rng.choice(n_holders, n_again, replace=False)
    # a second row is about another language
    second = np.where(first[again] == 2, rng.choice([4, 3, 8, 9], n_again), 2)
    holder = np.concatenate([holders, holders[again]])
    language = np.concatenate([first, second])
    n = len(holder)

    low, high = np.array([(300, 600), (600, 700), (700, 800), (800, 900), (900, 985)], dtype=float)[
        rng.choice(5, n, p=[0.337, 0.114, 0.191, 0.231, 0.127])
    ].T
    score = rng.uniform(low, high)
    # Language 2's usual exam has 990 points in steps of 5, rescaled to 1,000; the other exams have round scores.
    of_990 = np.round(np.round(score * 0.99 / 5) * 5 / 990 * 1000, 2)
    round_score = np.round(score / 50) * 50
    is_usual = (language == 2) & (rng.random(n) < 0.85)
    exam = np.where(is_usual, 4, np.where(language == 2, rng.choice([5, 6], n), 5 + language % 4))
    table = pd.DataFrame(
        {
            "resume_seq": resume_ids[holder],
            "language": language,
            "exam_name": exam,
            "score": np.where(is_usual, of_990, round_score),
        }
    )
    return table.iloc[rng.permutation(n)].reset_index(drop=True)


def _recruitment_table(
    config: SampleConfig,
    world: _World,
    labels: dict[str, np.ndarray],
    posting_ids: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    n = len(posting_ids)
    sub_trade, level = np.divmod(world.posting_market, world.n_levels)
    second = np.where(world.second_market >= 0, world.second_market // world.n_levels, sub_trade)

    # Each sub-trade's pool: four codes of one family and one of any, so that related sub-trades overlap.
    families = [[code for code in TASK_CODES if code.startswith(family)] for family in ("21", "22", "25", "27", "28")]
    pools = np.array(
        [
            [*rng.choice(families[i % len(families)], 4, replace=False), rng.choice(TASK_CODES)]
            for i in range(world.n_sub_trades)
        ]
    )
    width = 10  # more than are shown, so that repeats can be passed over
    trade_of_code = np.where(rng.random((n, width)) < 0.5, second[:, None], sub_trade[:, None])
    own = pools[trade_of_code, rng.integers(pools.shape[1], size=(n, width))]
    common = np.where(
        rng.random((n, width)) < 0.7, rng.choice(COMMON_TASK_CODES, (n, width)), rng.choice(TASK_CODES, (n, width))
    )
    codes = np.where(rng.random((n, width)) < config.task_code_noise, common, own)
    codes = np.concatenate([codes, pools[sub_trade][:, :4]], axis=1)  # four distinct ones, should all ten be the same
    n_codes = 3 + rng.integers(0, 2, n)
    keywords = [
        ";".join(sorted(list(dict.fromkeys(row))[:k])) for row, k in zip(codes.tolist(), n_codes.tolist(), strict=True)
    ]

    level_tokens = [";".join(tokens) for tokens in LEVEL_TOKENS]
    shown_level = np.where(rng.random(n) < 0.2, rng.integers(world.n_levels, size=n), level)
    notes = np.array([rng.choice(level_tokens[i].split(";")) for i in shown_level.tolist()], dtype=object)

    address = _label_values(ADDRESS, labels["address"]).astype(float)
    address[rng.choice(np.flatnonzero(address == 3))] = np.nan
    more = rng.choice(np.array(list(ADDRESS), dtype=float), (2, n))
    has_more = rng.random(n) < 0.04
    return pd.DataFrame(
        {
            "recruitment_seq": posting_ids,
            "address_seq1": address,
            "address_seq2": np.where(has_more, more[0], np.nan),
            "address_seq3": np.where(has_more & (rng.random(n) < 0.3), more[1], np.nan),
            "career_end": np.zeros(n, dtype=np.int64),
            "career_start": np.zeros(n, dtype=np.int64),
            "check_box_keyword": keywords,
            "education": _label_values(EDUCATION, labels["education"]),
            "major_task": _label_values(MAJOR_TASK, labels["major_task"]),
            "qualifications": _label_values(QUALIFICATIONS, labels["qualifications"]),
            "text_keyword": _with_missing(notes, rng.random(n) < 0.9),
        }
    )


def _company_table(world: _World, posting_ids: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """One row a posting, for the companies that gave their particulars; keyed by posting, without a company id."""
    n_companies = len(world.company_sub_trade)
    kinds = rng.choice(np.arange(100, 1000, 3), 30, replace=False)
    own_kind = kinds[world.company_sub_trade % len(kinds)]
    kind = np.where(rng.random(n_companies) < 0.5, own_kind, rng.choice(kinds, n_companies))
    company_type = rng.choice([2, 4, 1, 3, 5], n_companies, p=[0.72, 0.14, 0.07, 0.05, 0.02])
    employees = np.clip(np.round(np.exp(rng.normal(3.7, 1.1, n_companies)) / 5) * 5, 5, 20_000).astype(np.int64)
    has_row = np.flatnonzero((rng.random(n_companies) < 0.9)[world.company])
    has_row = rng.permutation(has_row)
    company = world.company[has_row]
    return pd.DataFrame(
        {
            "recruitment_seq": posting_ids[has_row],
            "company_type_seq": company_type[company],
            "supply_kind": kind[company],
            "employee": employees[company],
        }
    )


# ---- the folder ------------------------------------------------------------------------------------------------------


def _banner_text(config: SampleConfig) -> str:
    knobs = "\n".join(f"{field.name} = {getattr(config, field.name)!r}" for field in fields(config))
    return (
        f"{BANNER}\n합성 데이터 - 스카우트/데이콘(DACON) 데이터가 아닙니다\n\n"
        "Every row in this folder was drawn by recsys_lib.datasets.sample. No row comes from the contest.\n"
        "이 폴더의 모든 행은 recsys_lib.datasets.sample 이 난수로 만든 것이며, 대회 데이터는 한 행도 들어 있지 않습니다.\n\n"
        f"sample_version = {SAMPLE_VERSION}\nfingerprint = {sample_fingerprint(config)}\n{knobs}\n"
    )


def _is_sample_or_empty(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "SYNTHETIC.txt").is_file() or not any(folder.iterdir()))


def _put_in_place(draft: Path, target: Path) -> None:
    """Rename draft to target; an earlier sample there steps aside first and is removed afterwards."""
    if not target.exists():
        draft.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    target.rename(aside / target.name)
    try:
        draft.rename(target)
    except BaseException:
        (aside / target.name).rename(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _hash_share(seed: int, resume_id: str) -> float:
    """A number in [0, 1) that depends on seed and id alone."""
    digest = hashlib.blake2b(f"{seed}:{resume_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
