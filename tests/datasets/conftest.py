"""A tiny valid job-posting folder: 4 résumés, 6 postings; U00004 has not applied, nobody applied to R00006."""

import pytest

FILES = {
    "apply_train.csv": """\
resume_seq,recruitment_seq
U00002,R00003
U00001,R00001
U00001,R00002
U00003,R00001
U00002,R00004
U00003,R00005
U00001,R00003
""",
    "resume.csv": """\
resume_seq,reg_date,updated_date,degree,graduate_date,hope_salary,last_salary,text_keyword,job_code_seq1,job_code_seq2,job_code_seq3,career_month,career_job_code
U00001,2019-08-25,2020-07-01,4,2008,3500.0,0.0,스타일디자이너;우븐디자이너,재료·화학·섬유·의복,,,67,섬유;봉제;가방;의류
U00002,2020-03-04,2020-05-22,3,0,0.0,3700.0, MD ;기획;,재료·화학·섬유·의복,디자인,,0,
U00003,2017-11-20,2020-01-26,4,1979,2800.0,3100.0,,디자인,디자인,영업·판매·TM,121,의류
U00004,2020-05-13,2020-05-28,5,2012,3000.0,2500.0,MD,디자인,,,24,
""",
    "resume_certificate.csv": """\
resume_seq,certificate_contents
U00001,2종운전면허증
U00001,운전면허2종보통
U00002,자동차운전면허 2종 보통
U00002,주산2급
U00003,
""",
    "resume_education.csv": """\
resume_seq,hischool_type_seq,hischool_special_type,hischool_nation,hischool_gender,hischool_location_seq,univ_type_seq1,univ_type_seq2,univ_transfer,univ_location,univ_major,univ_sub_major,univ_major_type,univ_score
U00001,21,일반고,사립,남자학교,3,5,5,0,3,,,9,60
U00002,16,특성화고,공립,여자학교,3,5,4,0,5,의류학,,4,0
U00003,21,일반고,사립,남여공학,5,5,5,0,3,,,8,80
""",
    "resume_language.csv": """\
resume_seq,language,exam_name,score
U00001,2,4,742.42
U00001,4,5,500.0
U00003,2,4,888.89
""",
    "recruitment.csv": """\
recruitment_seq,address_seq1,address_seq2,address_seq3,career_end,career_start,check_box_keyword,education,major_task,qualifications,text_keyword
R00001,3.0,,,0,0,2507;2707;2810,3,2,1,
R00002,3.0,5.0,,0,0,2204;2205,4,2,2,경력;팀장
R00003,,,,0,0,2101;2707,2,8,1,
R00004,5.0,3.0,11.0,0,0,2201,4,2,1,
R00005,3.0,,,0,0,2201;2204,3,7,0,
R00006,3.0,,,0,0,2204,3,2,1,신입
""",
    "company.csv": """\
recruitment_seq,company_type_seq,supply_kind,employee
R00001,2,514,20
R00002,2,402,90
R00004,4,100,590
""",
    "sample_submission.csv": """\
resume_seq,recruitment_seq
U00002,R00001
U00002,R00002
U00001,R00004
U00001,R00005
U00004,R00001
U00004,R00002
U00003,R00002
U00003,R00003
""",
}


@pytest.fixture
def csv_folder(tmp_path):
    """A folder csv/ with all eight files."""
    folder = tmp_path / "csv"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
