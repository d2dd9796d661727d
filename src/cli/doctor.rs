//! `reprov doctor`.

use serde_json::json;

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::{
    buildroot::{State, examine},
    model::path::printable,
};

pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let needs = examine(&context.global.store_dir()?).await;
    let ready = needs.iter().all(|need| need.ok);
    let mut text = String::new();
    for need in &needs {
        let word = match need.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "no",
        };
        text.push_str(&format!("{word:<4}  {:<16} {}\n", need.name, printable(&need.found)));
        if let Some(fix) = &need.fix {
            text.push_str(&format!("      {:<16} {}\n", "→", printable(fix)));
        }
    }
    context.console.answer(&json!({"schema": "reprov.doctor/v1", "ready": ready, "needs": needs}), &text);
    Ok(if ready { Exit::Ok } else { Exit::Unavailable })
}
