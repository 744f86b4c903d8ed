//! Wrong histories.

use super::Table;

const HEADER: &str = r#"{"portwitness_history":1,"suite":"s","sut":"s","profile":"quick","seed":1,"netns":7,"kernel":"k","version":"v","realtime":{"at":0,"offset_ns":0,"uncertainty_ns":0},"cases":[{"case":"s/g 1.1","title":"t","spec":"s"}]}"#;
const NOTE: &str = r#"{"at":1,"source":"runner","event":"note","text":"a note"}"#;
const BEGIN: &str =
    r#"{"at":2,"source":"runner","event":"case_begin","case":"s/g 1.1","checks":[{"check":"coverage"}]}"#;
const STRANGE: &str =
    r#"{"at":2,"source":"runner","event":"case_begin","case":"s/g 1.1","checks":[{"check":"telepathy"}]}"#;
const END: &str = r#"{"at":9,"source":"runner","event":"case_end","case":"s/g 1.1"}"#;
/// gzip(1) of nothing.
const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn wrong_histories() {
    let mut table = Table::new();
    std::fs::create_dir(table.path().join("empty-folder")).unwrap();
    table.row("run directory that is not there", &["judge", "nowhere"]);
    table.row("folder without a history", &["judge", "empty-folder"]);
    table.row("device without an end", &["judge", "/dev/zero"]);
    let text = |lines: &[&str]| lines.join("\n").into_bytes();
    let whole = text(&[HEADER, NOTE, BEGIN, END, ""]);
    for (what, content) in [
        ("empty", Vec::new()),
        ("text", b"hello\n".to_vec()),
        ("binary", (0..=255).collect()),
        ("compressed", GZIP.to_vec()),
        ("JSON of something else", b"{\"a\":1}\n".to_vec()),
        ("version to come", text(&[&HEADER.replace(":1,", ":2,"), NOTE, ""])),
        ("version that is no number", text(&[&HEADER.replace(":1,", ":\"1\","), NOTE, ""])),
        ("header without the run", text(&["{\"portwitness_history\":1}", NOTE, ""])),
        ("header that breaks off", HEADER.as_bytes()[..40].to_vec()),
        ("without the first line", text(&[NOTE, BEGIN, END, ""])),
        ("line that is no JSON", text(&[HEADER, NOTE, "{at:1}", END, ""])),
        ("line of another kind", text(&[HEADER, NOTE, &NOTE.replace("note", "nota"), END, ""])),
        ("line without its time", text(&[HEADER, &NOTE.replace("\"at\":1,", ""), END, ""])),
        ("time before the beginning", text(&[HEADER, &NOTE.replace(":1", ":-1"), END, ""])),
        ("nesting without an end", text(&[HEADER, &"[".repeat(100_000), ""])),
        ("header alone", text(&[HEADER, ""])),
        ("cut within a line", whole[..whole.len() - 20].to_vec()),
        ("cut between lines", text(&[HEADER, NOTE, BEGIN, ""])),
        ("check that this program does not know", text(&[HEADER, NOTE, STRANGE, END, ""])),
        ("whole, of a run that nobody watched", whole),
    ] {
        table.file("history.jsonl", content);
        table.row(what, &["judge", "history.jsonl"]);
    }
    table.check("histories");
}
