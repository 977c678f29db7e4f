//! What a server's refusal of a restore means for the person on call.

use trstctl_formats::{Class, Failure};

use crate::log::LogError;
use crate::wire::{ApiError, MORE_STORAGE, code};

/// When the refusal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the first answer: nothing was sent.
    Request,
    /// After the whole archive: an old single server has it on disk already.
    Archive,
}

/// The failure that an answer of the restore conversation stands for.
pub(super) fn failure(error: ApiError, stream: &str, stage: Stage) -> Failure {
    let ApiError::Refused { refusal, .. } = &error else { return LogError::from(error).into() };
    let said = format!("{} ({})", refusal.description, refusal.err_code);
    match refusal.err_code {
        _ if error.is_leaderless() => LogError::NoLeader { stream: stream.to_owned() }.into(),
        code::NAME_IN_USE => Failure::new(
            Class::TargetNotEmpty,
            format!("a stream {stream} appeared while the restore was being prepared: {said}"),
            "Stop what creates it (a server that was started too early), then run the same command again.",
        ),
        code::SUBJECTS_OVERLAP => overlap(stream, stage, &said),
        code::INVALID_JSON => Failure::new(
            Class::Refused,
            format!("the server does not understand the configuration of {stream}: {said}"),
            "Report this with the server's version; meanwhile restore with --method publish.",
        ),
        code::RESTORE_FAILED => Failure::new(
            Class::Refused,
            format!("the server could not read the archive of {stream}: {said}"),
            "Run the same command again; if it fails again, look into the server's log, and restore with --method publish.",
        ),
        code::REPLICAS_NOT_SUPPORTED => Failure::new(
            Class::Refused,
            format!("{stream} cannot have so many replicas here: {said}"),
            "Start more NATS servers, or lower TRSTCTL_NATS_REPLICAS (1 needs TRSTCTL_NATS_ALLOW_SINGLE_REPLICA=true).",
        ),
        code::STORAGE_EXCEEDED | code::INSUFFICIENT_RESOURCES => Failure::new(
            Class::Refused,
            format!("there is not enough storage for {stream}: {said}"),
            MORE_STORAGE,
        ),
        _ => Failure::new(
            Class::Refused,
            format!("the server refused the archive of {stream}: {said}"),
            "Look into the server's log. Another way is --method publish.",
        ),
    }
}

fn overlap(stream: &str, stage: Stage, said: &str) -> Failure {
    let hint = match stage {
        Stage::Request => {
            "Find the stream that holds the subjects (`nats stream ls`) and remove it if nothing needs it."
                .to_owned()
        }
        Stage::Archive => format!(
            "Do NOT restart this server yet: it may have left the folder streams/{stream} of this account in its JetStream \
             store directory, and would serve it instead of the live stream. Remove that folder first, then the stream that \
             holds the subjects if nothing needs it."
        ),
    };
    Failure::new(
        Class::TargetNotEmpty,
        format!("another stream holds the subjects of {stream}: {said}"),
        hint,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ApiRefusal;

    fn refused(err_code: u32, stage: Stage) -> Failure {
        let refusal = ApiRefusal { code: 400, err_code, description: "words of the server".to_owned() };
        failure(ApiError::Refused { endpoint: "STREAM.RESTORE.S".to_owned(), refusal }, "S", stage)
    }

    #[test]
    fn every_documented_code_has_its_class() {
        for (err_code, class) in [
            (10130, Class::TargetNotEmpty),
            (10065, Class::TargetNotEmpty),
            (10025, Class::Refused),
            (10062, Class::Refused),
            (10074, Class::Refused),
            (10047, Class::Refused),
            (10008, Class::Unreachable),
            (1, Class::Refused),
        ] {
            let failure = refused(err_code, Stage::Request);
            assert_eq!(failure.class, class, "{err_code}");
            let says = if err_code == 10008 {
                "no leader".into()
            } else {
                format!("words of the server ({err_code})")
            };
            assert!(failure.message.contains(&says), "{failure}");
        }
    }

    #[test]
    fn an_overlap_at_the_end_warns_of_a_restart_and_names_the_folder() {
        let late = refused(10065, Stage::Archive);
        assert!(late.hint.contains("Do NOT restart") && late.hint.contains("streams/S"), "{}", late.hint);
        assert!(!refused(10065, Stage::Request).hint.contains("restart"));
    }
}
