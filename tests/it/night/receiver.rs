//! A receiver of messages on loopback, which answers as it is told to.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use crate::support::{Answer, Asked};

/// A server that remembers what it was asked.
pub(super) struct Receiver {
    host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Receiver {
    /// Answers the first with the first of `statuses`, and so on; those after the last, with the last.
    pub(super) fn answering(statuses: &'static [u16]) -> Self {
        Self::on("127.0.0.1:0", move |number, _| Answer::new(statuses[number.min(statuses.len() - 1)]))
    }

    /// Answers by `answer`, which is told how many were before; each on a thread of its own.
    pub(super) fn on(
        address: &str,
        answer: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(asked) = Asked::read(&stream) else { return };
                    let number = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(asked.clone());
                        kept.len() - 1
                    };
                    answer(number, &asked).send(&stream, false);
                });
            }
        });
        Self { host, asked }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The bodies of all that came, as JSON.
    pub(super) fn bodies(&self) -> Vec<serde_json::Value> {
        self.asked().iter().map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect()
    }
}
