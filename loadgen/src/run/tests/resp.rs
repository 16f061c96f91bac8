//! Whole runs against a server that speaks as much RESP as GET and SET need: one that does what it
//! is asked, and one that refuses.

use super::*;

fn resp_server(answer_set: &'static [u8]) -> String {
    let store = Arc::new(Mutex::new(HashMap::<Vec<u8>, Vec<u8>>::new()));
    serve(move |mut stream| {
        let (mut input, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            input.extend_from_slice(&buffer[..read]);
            let mut out = Vec::new();
            while let Some((words, used)) = request(&input) {
                input.drain(..used);
                let mut store = store.lock().unwrap();
                match &words[..] {
                    [set, key, value] if set == b"SET" => {
                        store.insert(key.clone(), value.clone());
                        out.extend_from_slice(answer_set);
                    }
                    [get, key] if get == b"GET" => match store.get(key) {
                        Some(value) => {
                            out.extend(format!("${}\r\n", value.len()).into_bytes());
                            out.extend_from_slice(value);
                            out.extend_from_slice(b"\r\n");
                        }
                        None => out.extend_from_slice(b"$-1\r\n"),
                    },
                    other => panic!("{other:?}"),
                }
            }
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    })
}

/// The words of the request at the start of `input` and its length, once it is whole.
fn request(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut at = 0;
    let number = |mark: u8, at: &mut usize| {
        let line = input
            .get(*at..)?
            .split_inclusive(|byte| *byte == b'\n')
            .next()?;
        let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).unwrap();
        assert_eq!(text.as_bytes()[0], mark);
        *at += line.len();
        Some(text[1..].parse::<usize>().unwrap())
    };
    let mut words = Vec::new();
    for _ in 0..number(b'*', &mut at)? {
        let length = number(b'$', &mut at)?;
        words.push(input.get(at..at + length)?.to_vec());
        assert_eq!(input.get(at + length..at + length + 2)?, b"\r\n");
        at += length + 2;
    }
    Some((words, at))
}

#[test]
fn values_are_written_and_read_over_resp() {
    let target = resp_server(b"+OK\r\n");
    let summary = summary(&format!(
        "-t {target} --protocol resp -c 3 --depth 16 -w 0 -n 5k --keys 200 --preload \
         --puts 0.5 --value-size 20-3000"
    ));
    let counts = summary.counts;
    assert_eq!((counts.completed, summary.errors_total()), (5_000, 0));
    assert_eq!((counts.wrong, counts.absent, counts.lost), (0, 0, 0));
    assert!((2_000..3_000).contains(&counts.verified), "{counts:?}");
    assert_eq!(summary.protocol, "resp");
}

#[test]
fn refusals_over_resp_are_errors_with_their_words() {
    let target = resp_server(b"-OOM command not allowed\r\n");
    let summary = summary(&format!(
        "-t {target} --protocol resp -c 1 -w 0 -n 50 --keys 10 --puts 1"
    ));
    assert_eq!(summary.error_count("memory_full"), 50);
    let example = summary.errors[0].example.as_deref().unwrap();
    assert!(example.contains("OOM command not allowed"), "{example}");
}
