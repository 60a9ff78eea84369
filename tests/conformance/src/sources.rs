//! C.10: data sources.

use crate::http::{expect, has_fields, is_object_id, list, text};
use crate::lab::Lab;
use crate::report::Report;
use serde_json::{Value, json};

const PASSWORD: &str = "a-password-that-never-comes-back";

pub async fn test(lab: &Lab, report: &mut Report) {
    report.test("C.10", "data sources are listed by workspace, without passwords", listed(lab).await);
}

/// A data source in our workspace, on a host that cannot be there.
pub async fn test_one_of_our_own(lab: &Lab, report: &mut Report, workspace: &Value) {
    let Some(source) =
        report.test("C.10", "a data source is made without giving its password back", make(lab, workspace).await)
    else {
        return;
    };
    let renamed = async {
        let path = format!("api/v1/datasources/{}", text(&source, "id"));
        let mut body = source.clone();
        body["name"] = json!("Renamed");
        let data = lab.http.put(&path, lab.admin()?, &body).await?.data()?;
        expect(data["name"] == "Renamed", || format!("its name is {}", data["name"]))
    };
    report.test("C.10", "a data source gets another name", renamed.await);
    if let Some(storage) = storage(&source).filter(|storage| !text(storage, "id").is_empty()) {
        let test = async {
            let reply = lab.http.post("api/v1/datasources/test", lab.admin()?, &tested(&source, storage)).await?;
            let data = reply.data()?;
            has_fields(&data, &["success"])?;
            list(&data["invalids"])?;
            Ok(data["success"] == true)
        };
        if let Some(success) =
            report.test("C.10", "a stored data source is tested without sending its password", test.await)
        {
            report.observe("C.10", format!("success is {success} for a host that cannot be there"));
        }
    }
}

async fn listed(lab: &Lab) -> Result<(), String> {
    for (workspace, _) in lab.everything(lab.admin()?).await? {
        let sources = lab.read(&format!("api/v1/datasources?workspaceId={}", text(&workspace, "id"))).await?;
        for source in list(&sources)? {
            has_fields(source, &["id", "name", "pluginId"])?;
            expect(is_object_id(text(source, "id")), || format!("{} is no id", source["id"]))?;
            expect(storage(source).is_some(), || format!("{} has no configuration", source["name"]))?;
            shows_no_password(source)?;
        }
    }
    Ok(())
}

/// The configuration: in a storage by environment, in early releases on the data source itself.
fn storage(source: &Value) -> Option<&Value> {
    match source.get("datasourceStorages").and_then(Value::as_object) {
        Some(storages) => storages.values().next(),
        None => source.get("datasourceConfiguration").map(|_| source),
    }
}

fn shows_no_password(source: &Value) -> Result<(), String> {
    let configuration = storage(source).map(|storage| &storage["datasourceConfiguration"]["authentication"]);
    let shown = configuration.and_then(|it| it.get("password")).is_some_and(|it| !it.is_null() && it != "");
    expect(!shown && !source.to_string().contains(PASSWORD), || format!("{} shows its password", source["name"]))
}

async fn make(lab: &Lab, workspace: &Value) -> Result<Value, String> {
    let id = text(workspace, "id");
    let plugins = lab.read(&format!("api/v1/plugins?workspaceId={id}")).await?;
    let postgres = list(&plugins)?.iter().find(|plugin| plugin["packageName"] == "postgres-plugin");
    let plugin = postgres.ok_or("there is no PostgreSQL plugin")?["id"].clone();
    let configuration = json!({
        "endpoints": [{"host": "no-such-host.invalid", "port": 5432}],
        "authentication": {"authenticationType": "dbAuth", "username": "u", "password": PASSWORD, "databaseName": "d"},
        "connection": {"mode": "READ_WRITE", "ssl": {"authType": "DEFAULT"}},
    });
    let mut body = json!({"name": lab.name, "pluginId": plugin, "workspaceId": id});
    if lab.since(1, 9, 30) {
        body["datasourceStorages"] = json!({"unused_env": {
            "environmentId": "unused_env", "isConfigured": true, "datasourceConfiguration": configuration,
        }});
    } else {
        body["datasourceConfiguration"] = configuration;
        body["isConfigured"] = json!(true);
    }
    let made = lab.http.post("api/v1/datasources", lab.admin()?, &body).await?.data()?;
    has_fields(&made, &["id", "name", "pluginId"])?;
    shows_no_password(&made)?;
    Ok(made)
}

fn tested(source: &Value, storage: &Value) -> Value {
    json!({
        "id": storage["id"], "datasourceId": source["id"], "environmentId": storage["environmentId"],
        "workspaceId": source["workspaceId"], "pluginId": source["pluginId"], "name": source["name"],
        "isConfigured": true, "datasourceConfiguration": storage["datasourceConfiguration"],
    })
}
