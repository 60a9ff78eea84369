//! C.9: applications as files.

use crate::applications::Ours;
use crate::http::{expect, has_fields, list, send, text};
use crate::lab::Lab;
use crate::report::Report;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

pub async fn test(lab: &Lab, report: &mut Report, workspace: &Value, ours: &Ours) {
    let Some(file) = report.test("C.9", "an export is raw JSON without an envelope", export(lab, ours).await) else {
        return;
    };
    match lab.version.server_schema() {
        Some(schema) => {
            let right = expect(file["serverSchemaVersion"] == schema, || {
                format!("serverSchemaVersion is {} in place of {schema}", file["serverSchemaVersion"])
            });
            report.test("C.9", "the schema of an export is that of the release", right);
        }
        None => report.observe("C.9", format!("serverSchemaVersion is {}", file["serverSchemaVersion"])),
    }
    report.test("C.9", "an export comes back in as an application", import(lab, workspace, &file).await);
    let mut newer = file.clone();
    newer["serverSchemaVersion"] = json!(999);
    let refused = upload(lab, workspace, &newer).await.and_then(|reply| reply.refuses(400, "AE-JSN-4045"));
    report.test("C.9", "a file of a newer schema is refused with 400 AE-JSN-4045", refused);
}

async fn export(lab: &Lab, ours: &Ours) -> Result<Value, String> {
    let reply = lab.http.get(&format!("api/v1/applications/export/{}", ours.id), Some(lab.admin()?)).await?;
    reply.is_status(200)?;
    let file = reply.json()?;
    expect(file.get("responseMeta").is_none(), || "there is an envelope".to_owned())?;
    has_fields(&file, &["clientSchemaVersion", "serverSchemaVersion", "exportedApplication", "pageList"])?;
    Ok(file)
}

async fn upload(lab: &Lab, workspace: &Value, file: &Value) -> Result<crate::http::Reply, String> {
    let part = Part::text(file.to_string()).file_name("application.json").mime_str("application/json");
    let form = Form::new().part("file", part.map_err(|error| error.to_string())?);
    let path = format!("api/v1/applications/import/{}", text(workspace, "id"));
    send(lab.http.request(Method::POST, &path, Some(lab.admin()?)).multipart(form)).await
}

async fn import(lab: &Lab, workspace: &Value, file: &Value) -> Result<(), String> {
    let data = upload(lab, workspace, file).await?.data()?;
    has_fields(&data, &["application", "isPartialImport"])?;
    expect(data["isPartialImport"] == false, || "it is partial without any data source".to_owned())?;
    expect(list(&data["unConfiguredDatasourceList"])?.is_empty(), || "data sources are missing".to_owned())?;
    let id = text(&data["application"], "id");
    let pages = lab.read(&format!("api/v1/pages?applicationId={id}&mode=EDIT")).await?;
    expect(list(&pages["pages"])?.len() == 1, || format!("pages: {}", pages["pages"]))
}
