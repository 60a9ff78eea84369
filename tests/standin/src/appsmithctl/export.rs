//! `appsmithctl export-db`: the database alone, while the backend is down.

use super::{Tool, dump, supervisorctl};
use crate::failure::{Failure, Result};
use crate::say;
use crate::supervisor::socket::Order;

/// Exports and says the exit code.
pub fn run(tool: &Tool) -> u8 {
    supervisorctl(&["stop", "backend", "rts"]);
    let done = export(tool);
    supervisorctl(&["start", "backend", "rts"]);
    match done {
        Ok(()) => {
            say::out("export_database done");
            0
        }
        Err(failure) => {
            say::err(&format!("Error: {failure}"));
            1
        }
    }
}

fn export(tool: &Tool) -> Result<()> {
    let reply = tool.ask(&Order::Dump)?;
    // Written over what is there.
    let path = tool.volume.backup().join("appsmith-data.archive");
    let file = std::fs::File::create(&path).map_err(Failure::at("create", &path))?;
    dump::write(&tool.database_name()?, &reply.documents, file).map_err(Failure::at("write", &path))
}
