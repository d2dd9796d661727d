//! `reprov doctor`.

use serde_json::json;

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::buildroot::examine;

pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let store = context.global.open_store()?;
    let needs = examine(store.root()).await;
    let ready = needs.iter().all(|need| need.ok);
    let mut text = String::new();
    for need in &needs {
        let word = if need.ok { "ok" } else { "no" };
        text.push_str(&format!("{word}  {:<16} {}\n", need.name, need.found));
        if let Some(fix) = &need.fix {
            text.push_str(&format!("    {:<16} {fix}\n", "→"));
        }
    }
    context.console.answer(&json!({"schema": "reprov.doctor/v1", "ready": ready, "needs": needs}), &text);
    Ok(if ready { Exit::Ok } else { Exit::Unavailable })
}
