"""Reading folders of other tools: every layout, and what happens to each file."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_images import picture, run_import, run_labeler
from tools_for_tests import encode, examples, write_pictures

from gleanset import Box, Dataset
from gleanset.credit import Credit
from gleanset.errors import InputUnusable
from gleanset.labelled_images import FRACTIONS
from harvest.folder import ImportOptions, find_images
from labeler.importing.labelled import LabelledFiles
from labeler.importing.reading import read_labelled

IMAGE = encode(picture(1, (16, 16)))
BOX = [10, 10, 40, 40]


def write(root: Path, *names: str, text: str | bytes = IMAGE) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)


def coco_document(name: str, *more: dict[str, object], **image: object) -> str:
    first = {"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX}
    images = [{"id": 1, "file_name": name, **image}]
    categories = [{"id": 1, "name": "hana"}]
    return json.dumps(
        {"images": images, "annotations": [first, *more], "categories": categories}
    )


def labels(files: LabelledFiles) -> dict[str, list[str]]:
    return {
        image.path.relative_to(files.tree.root).as_posix(): [
            label for _, label in image.labels
        ]
        for image in files.images
    }


@pytest.mark.parametrize(
    ("image", "table", "name"),
    [
        ("val2017/x.jpg", "annotations/instances_val2017.json", "x.jpg"),
        ("images/train/x.jpg", "annotations/instances_train.json", "x.jpg"),
        ("images/x.jpg", "annotations/instances_default.json", "x.jpg"),
        ("data/x.jpg", "labels.json", "x.jpg"),
        ("train/x.jpg", "train/_annotations.coco.json", "x.jpg"),
        ("images/x.jpg", "result.json", "images\\x.jpg"),
        ("images/x.jpg", "annotations/a.json", "../images/x.jpg"),
        ("images/x.jpg", "a.json", "C:\\Users\\me\\set\\images\\x.jpg"),
        ("images/x.jpg", "a.json", "/home/me/set/images/x.jpg"),
        ("Images/X.JPG", "a.json", "images/x.jpg"),
        ("caf\u00e9.jpg", "a.json", "cafe\u0301.jpg"),
        ("images/my cat.jpg", "result.json", "/data/upload/my%20cat.jpg"),
        ("100%25.jpg", "a.json", "100%25.jpg"),
    ],
)
def test_coco_images_are_found_in_any_layout(
    tmp_path: Path, image: str, table: str, name: str
) -> None:
    write(tmp_path, image)
    write(tmp_path, table, text=coco_document(name))
    files = read_labelled(tmp_path)
    assert (files.kind, labels(files), files.missing) == ("coco", {image: ["hana"]}, [])


def test_damaged_coco_file_is_reported(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "train.json", text=coco_document("a.jpg"))
    write(tmp_path, "val.json", text=coco_document("b.jpg")[:-1])
    files = read_labelled(tmp_path)
    assert labels(files) == {"a.jpg": ["hana"]}
    assert files.dropped == [(f"{tmp_path.name}/val.json", "file that is not JSON")]


def test_coco_prefers_image_of_its_split(tmp_path: Path) -> None:
    write(tmp_path, "images/train/x.jpg", "images/val/x.jpg", "images/val/y.jpg")
    write(tmp_path, "annotations/instances_val.json", text=coco_document("x.jpg"))
    assert labels(read_labelled(tmp_path)) == {"images/val/x.jpg": ["hana"]}
    write(tmp_path, "annotations/instances_val.json", text=coco_document("other/x.jpg"))
    write(tmp_path, "a/x.jpg", "b/x.jpg")
    write(
        tmp_path,
        "annotations/instances_val.json",
        text=coco_document("../../secret.jpg"),
    )
    with pytest.raises(InputUnusable, match=r"1 image not below .*, such as .*secret"):
        read_labelled(tmp_path)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"bbox": [5, 5, 10, 0]}, "box without area"),
        ({"bbox": ["a", 5, 10, 9]}, "not a box of x, y, width, height"),
        ({"bbox": [1, 2, 3]}, "not a box of x, y, width, height"),
        ({"bbox": [1, 2, 3, float("nan")]}, "not a box of x, y, width, height"),
        ({"bbox": [1, 2, 1e300, 9]}, "not a box of x, y, width, height"),
        ({"bbox": BOX, "image_id": 99}, "annotation of an image that is not listed"),
        ({"bbox": BOX, "image_id": [1]}, "annotation of an image that is not listed"),
        ({"bbox": BOX, "category_id": 99}, "annotation without a known class"),
        ({"bbox": BOX, "iscrowd": 1}, "crowd (iscrowd), not one object"),
        (
            {"segmentation": {"counts": [1, 2], "size": [3, 1]}},
            "neither a box nor a polygon",
        ),
        ({"segmentation": [[1]]}, "not a polygon"),
        ({"keypoints": [1, 2, 2]}, "keypoints without bbox"),
        ({"bbox": BOX}, "repeated annotation"),
    ],
)
def test_unusable_coco_annotation_is_dropped(
    tmp_path: Path, annotation: dict[str, object], reason: str
) -> None:
    more = {"id": 2, "image_id": 1, "category_id": 1} | annotation
    write(tmp_path, "x.jpg")
    write(tmp_path, "a.json", text=coco_document("x.jpg", more))
    files = read_labelled(tmp_path)
    assert [image.labels for image in files.images] == [(((10, 10, 40, 40), "hana"),)]
    assert [why for _, why in files.dropped] == [reason]


def test_coco_polygon_becomes_bounding_box(tmp_path: Path) -> None:
    polygons = [[5, 6, 25, 6, 25, 46], [1, 9, 2, 8]]
    more = {"id": 2, "image_id": 1, "category_id": 1, "segmentation": polygons}
    panoptic = json.loads(coco_document("x.png"))
    panoptic["annotations"] = [{"image_id": 1, "segments_info": []}]
    write(tmp_path, "x.jpg")
    write(tmp_path, "a.json", text=coco_document("x.jpg", more))
    write(tmp_path, "captions.json", text="{}")
    write(tmp_path, "panoptic.json", text=json.dumps(panoptic))
    files = read_labelled(tmp_path)
    assert [box for box, _ in files.images[0].labels] == [
        (10, 10, 40, 40),
        (1, 6, 24, 40),
    ]
    assert files.count_ignored() == {"file with labels": 1, "not an image": 2}


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("{}.jpg", "{}.txt"),
        ("images/train/{}.jpg", "labels/train/{}.txt"),
        ("train/images/{}.jpg", "train/labels/{}.txt"),
    ],
    ids=["one folder", "two folders", "Roboflow"],
)
@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            "data.yaml",
            'train: images\nnames:\n  0: cat\n  1: "it\'s, a dog" \n\nnc: 2\n',
        ),
        ("list.yaml", "nc: 2\nnames: ['cat', \"it's, a dog\"]  # two\n"),
        ("block.yaml", 'names:\n- cat\n- "it\'s, a dog"\nnc: 2\n'),
        ("classes.txt", "cat\nit's, a dog\n"),
    ],
)
def test_yolo_labels_are_read(
    tmp_path: Path, image: str, label: str, names: str, text: str
) -> None:
    write(tmp_path, names, text=text)
    write(tmp_path, *(image.format(name) for name in "abcd"))
    write(tmp_path, label.format("a"), text="0 0.5 0.5 0.2 0.4\n1 .1 .1 .3 .1 .3 .5\n")
    lines = (
        "1 0.5 0.5 0.2 0.4",
        "7 0.5 0.5 0.2 0.4",
        "1 nan 0.5 0.2 0.2",
        "-1 0.5 0.5 0.2 0.2",
    )
    write(tmp_path, label.format("b"), text="\n".join(lines))
    write(tmp_path, label.format("c"), text="")
    files = read_labelled(tmp_path)
    assert files.kind == "yolo"
    assert [reason for _, reason in files.dropped] == [
        "annotation without a known class",
        "not a line of YOLO",
        "not a line of YOLO",
    ]
    assert labels(files) == {
        image.format("a"): ["cat", "it's, a dog"],
        image.format("b"): ["it's, a dog"],
    }
    first = files.images[0]
    assert [box for box, _ in first.labels if box] == [
        pytest.approx((0.4, 0.3, 0.2, 0.4)),
        pytest.approx((0.1, 0.1, 0.2, 0.4)),
    ]
    assert first.frame == FRACTIONS
    assert files.count_ignored() == {
        "YOLO label file without a box": 1,
        "without a YOLO label file": 1,
        "file with labels": 4,
    }


@pytest.mark.parametrize("damage", ["0 nan x", "0", "<<<<<<< HEAD", "0 0.5 0.5"])
def test_a_damaged_line_of_yolo_costs_no_box(tmp_path: Path, damage: str) -> None:
    write(tmp_path, "classes.txt", text="cat\n")
    write(tmp_path, "a.jpg")
    write(tmp_path, "a.txt", text=f"0 0.5 0.5 0.2 0.4\n{damage}\n")
    files = read_labelled(tmp_path)
    assert labels(files) == {"a.jpg": ["cat"]}
    assert [reason for _, reason in files.dropped] == ["not a line of YOLO"]


@pytest.mark.parametrize(
    "line",
    [
        "0.000000 0.5 0.5 0.2 0.4",
        "0 0.5 0.5 0.2 0.4 0.4 0.4 2 0.6 0.6 2",
        "0 0.5 0.5 0.2 0.4 0.93",
    ],
    ids=["class by NumPy", "visible keypoints", "confidence"],
)
def test_line_of_yolo_has_this_box(tmp_path: Path, line: str) -> None:
    write(tmp_path, "classes.txt", text="cat\n")
    write(tmp_path, "a.jpg")
    write(tmp_path, "a.txt", text=line)
    (image,) = read_labelled(tmp_path).images
    assert image.labels == ((pytest.approx((0.4, 0.3, 0.2, 0.4)), "cat"),)


def test_label_file_of_yolo_without_an_image_is_named(tmp_path: Path) -> None:
    write(tmp_path, "classes.txt", text="cat\n")
    write(
        tmp_path, "images/a.jpg", "images/nan.jpg", "images/two.jpg", "images/two.png"
    )
    write(tmp_path, "labels/a.txt", "labels/gone.txt", "labels/two.txt", text=_BOX)
    write(tmp_path, "labels/nan.txt", text="0 nan nan nan nan\n")
    files = read_labelled(tmp_path)
    assert labels(files) == {"images/a.jpg": ["cat"]}
    assert [Path(name).name for name in files.missing] == ["gone.txt", "two.txt"]
    assert files.count_ignored() == {
        "file with labels": 5,
        "no annotation can be used": 1,
        "without a YOLO label file": 2,
    }


def test_numbers_in_a_text_make_no_labels_of_yolo(tmp_path: Path) -> None:
    write(tmp_path, "cat/a.jpg", "dog/b.jpg")
    write(tmp_path, "results.txt", text="3 0.1 0.2 0.3 0.4\n")
    assert read_labelled(tmp_path).kind == "tree"


_BOX = "0 0.5 0.5 0.2 0.4\n"
_NO_NAMES = r"without class names(.|\n)*classes\.txt"
_TABLE = "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,10,10,30,50"
_ROW = '{"file_name": "a.jpg", "objects": {"bbox": [[1, 2, 3, 4]]}}'
_LATE_ROW = '{"file_name": "b.jpg", "label": "cat"}\n' * 60 + _ROW
_OPEN_QUOTE = 'file_name,label\na.jpg,"cat\nb.jpg,dog\n'
_CAPTIONS = {"a.txt": "hana, rain", "b.txt": "初音ミク".encode("cp932")}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": _BOX, "data.yaml": "nc: 1\n"}, _NO_NAMES),
        ({"a.txt": _BOX, "data.yaml": "names: " + "[" * 300_000}, _NO_NAMES),
        ({"labels.csv": _TABLE}, "boxes in a table"),
        ({"metadata.jsonl": _ROW}, "boxes in a table"),
        ({"metadata.jsonl": _LATE_ROW}, "boxes in a table"),
        ({"labels.csv": _OPEN_QUOTE}, r"cannot read .*labels\.csv(.|\n)*quotation"),
        ({"metadata.parquet": b"PAR1"}, "export COCO, YOLO or a CSV"),
        (
            _CAPTIONS,
            "not read: .*; if all are of one class: harvest folder .* --label CLASS",
        ),
    ],
    ids=[
        "no names",
        "deep names",
        "boxes in CSV",
        "boxes in metadata",
        "boxes in a late row",
        "open quotation mark",
        "Parquet",
        "captions",
    ],
)
def test_unclear_labels_raise_error(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    for name, text in files.items():
        write(tmp_path, name, text=text)
    with pytest.raises(InputUnusable, match=message):
        read_labelled(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "id,label\n0.jpg,cat\n1.jpg,dog\ngone.jpg,dog\n",
        "\ufefffilename;class\nimages\\0.jpg;cat\nimages\\1.jpg;dog\ngone.jpg;dog\n",
        "image_id\tspecies\n0\tcat\n1\tdog\ngone\tdog\n",
        "choice,id,image\ncat,7,/data/upload/1/0.jpg\ndog,8,/data/upload/1/1.jpg\ndog,9,gone.jpg\n",
        "\nsep=;\nid;label\n0.jpg;cat\n1.jpg;dog\ngone.jpg;dog\n",
        "note,id,label\na\u2028b,0.jpg,cat\nc\x85d,1.jpg,dog\ne,gone.jpg,dog\n",
    ],
)
def test_csv_names_classes_of_images(tmp_path: Path, text: str) -> None:
    write(tmp_path, "images/0.jpg", "images/1.jpg", "images/2.jpg")
    write(tmp_path, "train.csv", text=text)
    files = read_labelled(tmp_path)
    assert labels(files) == {"images/0.jpg": ["cat"], "images/1.jpg": ["dog"]}
    assert len(files.missing) == 1
    assert files.count_ignored() == {"not in a table": 1, "file with labels": 1}


@pytest.mark.parametrize(
    "value",
    [
        '{""choices"": [""cat"", ""dog""]}',
        '[{""x"": 1, ""rectanglelabels"": [""dog""]}]',
    ],
)
def test_json_in_a_cell_is_not_a_class(tmp_path: Path, value: str) -> None:
    """Label Studio writes several choices, and boxes, as JSON."""
    write(tmp_path, "a.jpg", "b.jpg")
    write(
        tmp_path,
        "project.csv",
        text=f'image,id,label\na.jpg,1,cat\nb.jpg,2,"{value}"\n',
    )
    files = read_labelled(tmp_path)
    assert labels(files) == {"a.jpg": ["cat"]}
    assert files.count_ignored()["row without a single label"] == 1


def test_damaged_line_of_a_table_costs_only_itself(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    lines = ('{"file_name": "a.jpg", "label": "cat"}', '{"file_name": "b.jpg", "lab')
    write(tmp_path, "labels.jsonl", text="\n".join(lines))
    files = read_labelled(tmp_path)
    assert labels(files) == {"a.jpg": ["cat"]}
    assert [reason for _, reason in files.dropped] == ["line that is not JSON"]


@pytest.mark.parametrize(
    ("text", "expected", "column"),
    [
        ("id,label,class_name\na,0,cat\nb,1,dog\n", ["cat", "dog"], "class_name"),
        ("id,label,category\na,0,7\nb,1,8\n", ["0", "1"], "label"),
        ("id,label,category\na,cat,7\nb\n", ["cat"], "label"),
        ("id,label\na,0\nb,1\n", ["0", "1"], ""),
    ],
)
def test_column_of_names_is_preferred_to_numbers(
    tmp_path: Path, text: str, expected: list[str], column: str
) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "labels.csv", text=text)
    files = read_labelled(tmp_path)
    assert [label for image in files.images for _, label in image.labels] == expected
    note = f"classes are in the column {column} of labels.csv"
    assert files.note == (note if column else "")


def test_table_has_credits(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg")
    header = "file_name,label,author,license,url"
    rows = ("a.jpg,cat,Ann,CC-BY-4.0,https://example.org/1", "b.jpg,'=x,Bob,,")
    write(tmp_path, "labels.csv", text="\n".join((header, *rows)))
    files = read_labelled(tmp_path)
    assert [files.sources[image.path].credit for image in files.images] == [
        Credit("Ann", "CC-BY-4.0", "https://example.org/1"),
        Credit("Bob", None, None),
    ]
    assert labels(files)["b.jpg"] == ["=x"]


def test_table_next_to_class_folders_is_named(tmp_path: Path) -> None:
    write(tmp_path, "cat/a.jpg", "dog/b.jpg")
    assert not read_labelled(tmp_path).note
    write(tmp_path, "labels.csv", text="file_name,label\na.jpg,lion\nb.jpg,wolf\n")
    files = read_labelled(tmp_path)
    assert labels(files) == {"cat/a.jpg": ["cat"], "dog/b.jpg": ["dog"]}
    assert "labels.csv" in files.note


def test_table_with_unknown_columns_makes_no_folder_a_class(tmp_path: Path) -> None:
    write(tmp_path, "Bilder/1.jpg", "Bilder/2.jpg")
    write(tmp_path, "Bilder/liste.csv", text="Datei;Klasse\n1.jpg;Hund\n2.jpg;Katze\n")
    with pytest.raises(InputUnusable, match=r"liste\.csv names images"):
        read_labelled(tmp_path)
    assert labels(read_labelled(tmp_path, 1)) == {
        "Bilder/1.jpg": ["Bilder"],
        "Bilder/2.jpg": ["Bilder"],
    }


@pytest.mark.parametrize(
    "names",
    [
        ("images/1.jpg", "images/2.jpg"),
        ("JPEGImages/1.jpg", "SegmentationClass/1.png"),
        ("train/images/1.jpg", "valid/images/2.jpg"),
        ("photos/1.jpg", "masks_2/1.jpg"),
        ("training_set/training_set/cat/1.jpg", "test_set/test_set/cat/2.jpg"),
        ("train/cat/1.jpg", "dev/cat/2.jpg", "eval/dog/3.jpg"),
        ("train2017/cat/1.jpg", "val2017/cat/2.jpg"),
    ],
)
def test_generic_folder_names_raise_error(tmp_path: Path, names: tuple[str]) -> None:
    write(tmp_path, *names)
    with pytest.raises(InputUnusable, match="is not a class name"):
        read_labelled(tmp_path)
    assert labels(read_labelled(tmp_path, 1))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("bus/1.jpg", "car/1.jpg", "train/1.jpg"), {"bus", "car", "train"}),
        (("exam/1.jpg", "test/1.jpg"), {"exam", "test"}),
        (("bus/a/1.jpg", "train/b/1.jpg"), {"bus", "train"}),
        (("train/cat/1.jpg", "val/dog/1.jpg"), {"cat", "dog"}),
        (("train/cat/1.jpg", "test/1.jpg"), {"cat"}),
        (("train/cat/1.jpg", "extra/1.jpg"), {"cat", "extra"}),
        (("train/train/1.jpg", "train/bus/1.jpg"), {"bus", "train"}),
        (("training/cat/1.png", "testing/dog/2.png"), {"cat", "dog"}),
    ],
)
def test_class_may_have_name_of_split(
    tmp_path: Path, names: tuple[str, ...], classes: set[str]
) -> None:
    write(tmp_path, *names)
    assert set(read_labelled(tmp_path).count_classes()) == classes
    images = find_images(tmp_path, ImportOptions(hints=True), Counter())
    assert {image.origin.hint for image in images} - {None} == classes


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (["hana"], "hana"),
        (0, "0"),
        (["hana", "rei"], None),
        ({"name": "hana"}, None),
        (0.5, None),
        (1.0, "1"),
    ],
)
def test_metadata_rows_name_classes(
    tmp_path: Path, label: object, expected: str | None
) -> None:
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    rows = [
        {"file_name": "a.jpg", "label": label},
        {"file_name": "../b.jpg", "label": "yui"},
    ]
    write(tmp_path, "metadata.jsonl", text="\n".join(map(json.dumps, rows)))
    write(tmp_path, "sub/metadata.jsonl", text="{" * 100_000)
    files = read_labelled(tmp_path)
    assert labels(files) == ({"a.jpg": [expected]} if expected else {}) | {
        "b.jpg": ["yui"]
    }
    without = {"row without a single label": 1} if expected is None else {}
    others = {"not in a table": 1, "file with labels": 1, "not an image": 1}
    assert files.count_ignored() == without | others
    assert [reason for _, reason in files.dropped] == ["table without a readable row"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("faces.zip", "harvest folder"),
        ("faces.tar.gz", "harvest folder"),
        ("film.mkv", "harvest frames"),
        ("one.jpg", "harvest folder"),
        ("instances.json", "name the folder with the images"),
    ],
)
def test_file_without_labels_has_hint(tmp_path: Path, name: str, hint: str) -> None:
    write(tmp_path, name, text=b"PK\x05\x06" + bytes(18))
    done = run_labeler("import", tmp_path / name, "-d", tmp_path / "dataset").refused(
        3, hint
    )
    assert "codec" not in done.stderr


@pytest.mark.posix("links")
def test_linked_folders_are_imported_once(empty: Dataset, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/1.jpg")
    write(tmp_path, "tree/cat/2.jpg", text=encode(picture(2)))
    (tmp_path / "tree/dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tree/up").symlink_to(tmp_path / "tree")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "elsewhere")
    result = run_import(empty, tmp_path / "tree")
    assert result["labels"] == {"cat": 1, "dog": 1}
    assert (result["files"], result["added"], result["ignored"]) == (4, 2, 2)


LAYOUTS: dict[str, dict[str, str | bytes | Path]] = {
    "classes": {"cat/*.jpg": IMAGE, "dog/*.png": IMAGE, "*.jpg": IMAGE},
    "splits": {"train/cat/*.jpg": IMAGE, "val/dog/*.jpg": IMAGE, "test/*.jpg": IMAGE},
    "masks": {"masks/*.png": IMAGE, "images/*.jpg": IMAGE},
    "yolo": {
        "images/*.jpg": IMAGE,
        "images/*-empty.jpg": IMAGE,
        "labels/*.txt": "0 .5 .5 .1 .1\n",
        "data.yaml": "names: [cat]",
    },
    "coco": {
        "val2017/*.jpg": IMAGE,
        "val2017/*-unlisted.jpg": IMAGE,
        "annotations/*.json": coco_document("*.jpg"),
    },
    "metadata": {
        "*.jpg": IMAGE,
        "metadata.jsonl": '{"file_name": "*.jpg", "label": "a"}',
    },
    "csv": {"*.jpg": IMAGE, "labels.csv": "file,label\n*.jpg,cat\n"},
    "junk": {
        "@eaDir/*.jpg": "text",
        "#recycle/*.jpg": "text",
        ".hidden/*.jpg": "text",
        "*.db": "text",
        "Thumbs.db": "text",
        "*.mp4": "text",
    },
    "links": {
        "dir*/*.jpg": IMAGE,
        "link*.jpg": Path("dir*/*.jpg"),
        "broken*": Path("nowhere"),
    },
}
"""Files of each layout, or targets of links; `*` is replaced by a name."""


@pytest.mark.posix("links")
@settings(max_examples=examples(8, 400), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(LAYOUTS)), st.sampled_from("xyz")), unique=True
    )
)
def test_random_trees_account_for_every_file(parts: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as made, Dataset.create(Path(made) / "set") as dataset:
        root = Path(made) / "tree"
        root.mkdir()
        for layout, name in parts:
            for pattern, content in LAYOUTS[layout].items():
                path = pattern.replace("*", name)
                if isinstance(content, Path):
                    (root / path).symlink_to(str(content).replace("*", name))
                else:
                    text = (
                        content
                        if isinstance(content, bytes)
                        else content.replace("*", name)
                    )
                    write(root, path, text=text)
        paths = [
            path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()
        ]
        for again in (False, True):
            try:
                result = run_import(dataset, root)
            except InputUnusable:
                assert not dataset.images.count(), "a rejected folder was imported"
                return
            outcomes = ("added", "duplicate", "known", "rejected", "ignored")
            counts = Counter({key: result.get(key, 0) for key in outcomes})
            assert counts.total() == result["files"] == len(paths)
            assert not (again and result["added"])


def test_boxes_are_scaled_to_image_size(empty: Dataset, tmp_path: Path) -> None:
    write(tmp_path, "set/a.jpg", text=encode(picture(1, (60, 40))))
    more = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [300, 300, 9, 9]}
    write(
        tmp_path, "set/a.json", text=coco_document("a.jpg", more, width=120, height=80)
    )
    result = run_import(empty, tmp_path / "set")
    assert [face.face.box for face in empty.faces.iterate()] == [Box(5, 5, 20, 20)]
    assert result["ignored_annotations"] == {"box outside": 1}
    assert result["annotations_of"] == ["set/a.jpg: box outside"]
    write(tmp_path, "set/b.jpg", text=encode(picture(2, (60, 60))))
    write(tmp_path, "set/a.json", text=coco_document("b.jpg", width=120, height=80))
    with pytest.raises(InputUnusable, match="another size than annotated"):
        run_import(empty, tmp_path / "set")


@pytest.mark.parametrize(
    ("image_ids", "category_ids", "expected"),
    [
        (
            (1.0, 2.0, 3.0),
            (1.0, 2.0, 3.0),
            {"a.png": ["x"], "b.png": ["y"], "c.png": ["z"]},
        ),
        (
            ("1", "2", "3"),
            ("1", "2", "3"),
            {"a.png": ["x"], "b.png": ["y"], "c.png": ["z"]},
        ),
        ((1, 1, 3), (1, 2, 3), {"c.png": ["z"]}),
        ((1, 2, 3), (1, 1, 3), {"c.png": ["z"]}),
    ],
    ids=["float", "text", "repeated image", "repeated category"],
)
def test_coco_ids(
    image_ids: tuple[object, ...],
    category_ids: tuple[object, ...],
    expected: dict[str, list[str]],
    tmp_path: Path,
) -> None:
    names = ("a.png", "b.png", "c.png")
    numbers = [int(str(key)[0]) for key in (*image_ids, *category_ids)]
    pairs = zip(numbers[:3], numbers[3:], strict=True)
    document = {
        "images": [
            {"id": i, "file_name": n} for i, n in zip(image_ids, names, strict=True)
        ],
        "annotations": [
            {"image_id": i, "category_id": c, "bbox": BOX} for i, c in pairs
        ],
        "categories": [
            {"id": i, "name": n} for i, n in zip(category_ids, "xyz", strict=True)
        ],
    }
    write(tmp_path, *names)
    write(tmp_path, "a.json", text=json.dumps(document))
    files = read_labelled(tmp_path)
    assert (labels(files), bool(files.dropped)) == (
        expected,
        len(expected) < len(names),
    )


def test_yaml_names_with_escapes_of_json_are_read(tmp_path: Path) -> None:
    write(tmp_path, "data.yaml", text='names: ["\\ud83d\\ude00 cat"]')
    write(tmp_path, "a.jpg")
    write(tmp_path, "a.txt", text="0 0.5 0.5 0.2 0.4\n")
    assert labels(read_labelled(tmp_path)) == {"a.jpg": ["😀 cat"]}


@pytest.mark.parametrize(
    ("cell", "is_refused"), [("a.png", True), ("a", True), ("12", False)]
)
def test_table_of_images_in_other_columns_is_refused(
    tmp_path: Path, cell: str, *, is_refused: bool
) -> None:
    folder = write_pictures(tmp_path / "pets" / "cat", ["a.png", "12.png"])
    (folder / "notes.csv").write_text(f"picture,kind\n{cell},tabby\n")
    ran = run_labeler("import", tmp_path / "pets", "-d", tmp_path / "data")
    assert ("no columns called file_name" in ran.stderr) == is_refused
