//! What the agent says of its engine.

use super::Finding;
use crate::commands::doctor::probe::EngineFacts;

const CHECK: &str = "engine";

/// One finding for each thing that is amiss, or one that all is well.
pub(super) fn judge(engine: &EngineFacts) -> Vec<Finding> {
    if engine.warnings.is_empty() {
        return vec![Finding::ok(CHECK, format!("`{}` has no complaint", engine.name))];
    }
    let complaints = engine.warnings.iter();
    complaints.map(|what| Finding::warning(CHECK, format!("`{}`: {what}", engine.name))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn each_complaint_is_a_warning() {
        let mut engine = EngineFacts { name: "vpp".to_owned(), warnings: Vec::new() };
        assert_eq!(judge(&engine)[0].verdict, Verdict::Ok);
        engine.warnings = ["VPP is away: it ended", "other"].map(str::to_owned).to_vec();
        let findings = judge(&engine);
        assert!(findings.iter().all(|it| it.verdict == Verdict::Warning), "{findings:?}");
        assert!(findings[0].seen.contains("VPP is away"), "{findings:?}");
    }
}
