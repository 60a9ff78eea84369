//! C.8: running a query.

use crate::http::{Reply, expect, has_fields, is_success, list, send, text};
use crate::lab::Lab;
use crate::report::Report;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

pub async fn test(lab: &Lab, report: &mut Report) {
    let unknown = "0123456789abcdef01234567";
    let form = Form::new().text("no-such-part", "x");
    let refused = execute(lab, unknown, Some(form)).await.and_then(|reply| reply.is_status(400));
    report.test("C.8", "an unknown part is 400", refused);
    let missing = execute(lab, unknown, None).await;
    let missing = missing.and_then(|reply| {
        let ran = is_success(reply.status) && reply.data().is_ok_and(|data| data["isExecutionSuccess"] == true);
        expect(!ran, || "it succeeds".to_owned())
    });
    report.test("C.8", "a query that is not there does not succeed", missing);
    if lab.options.safe_queries.is_empty() {
        report.observe("C.8", "no query is named as safe, so none is run");
    }
    for named in &lab.options.safe_queries {
        report.test("C.8", &format!("{named} runs, and says so by isExecutionSuccess"), run(lab, named).await);
    }
}

async fn run(lab: &Lab, named: &str) -> Result<(), String> {
    let (application, query) = named.split_once('/').ok_or("a safe query is APP/QUERY")?;
    let found = lab.everything(lab.admin()?).await?;
    let mut all = found.iter().flat_map(|(_, applications)| applications);
    let application = all.find(|each| text(each, "name") == application).ok_or("there is no such application")?;
    let actions = lab.read(&format!("api/v1/actions/view?applicationId={}", text(application, "id"))).await?;
    for action in list(&actions)? {
        has_fields(action, &["id", "name", "pageId", "jsonPathKeys", "timeoutInMillisecond"])?;
    }
    let action = list(&actions)?.iter().find(|action| text(action, "name") == query).ok_or("there is no such query")?;
    expect(list(&action["jsonPathKeys"])?.is_empty(), || "it needs values of the page".to_owned())?;
    let reply = execute(lab, text(action, "id"), None).await?;
    reply.is_status(200)?;
    let data: Value = reply.data()?;
    has_fields(&data, &["isExecutionSuccess", "statusCode", "body"])?;
    expect(data["isExecutionSuccess"] == true, || format!("{}: {}", data["title"], data["body"]))
}

async fn execute(lab: &Lab, id: &str, more: Option<Form>) -> Result<Reply, String> {
    let request = json!({"actionId": id, "viewMode": true, "paramProperties": {}});
    let form = more.unwrap_or_default().text("executeActionDTO", request.to_string()).text("parameterMap", "{}");
    send(lab.http.request(Method::POST, "api/v1/actions/execute", Some(lab.admin()?)).multipart(form)).await
}
