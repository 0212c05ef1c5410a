//! The voters' words to each other as messages of ours (design, frozen formats).
//!
//! Votes, places in the log and entries travel as they lie on disk (`rows`): with a version and a
//! checksum of their own, so that nothing damaged on the way becomes part of a log.

use super::rows::{self, RowError};
use super::types::{Entry, LogId, Quorum, Vote};
use bytes::Bytes;
use isthmus_wire::codec::EncodeError;
use isthmus_wire::messages::quorum_append_request::EntryRow;
use isthmus_wire::messages::{
    QuorumAppendRequest, QuorumAppendResponse, QuorumTransferRequest, QuorumTransferResponse,
    QuorumVoteRequest, QuorumVoteResponse,
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

/// Outcomes of an append.
const APPENDED: i8 = 0;
const APPENDED_IN_PART: i8 = 1;
const CONFLICT: i8 = 2;
const HIGHER_VOTE: i8 = 3;

/// Outcomes of a transfer.
const TRANSFERRED: i8 = 0;
const VOTE_CHANGED: i8 = 1;
const NOT_FLUSHED: i8 = 2;

/// Why another voter's message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    #[error(transparent)]
    Row(#[from] RowError),
    #[error("an outcome {0} that this build does not know")]
    UnknownOutcome(i8),
}

pub(super) fn put_vote(vote: &Vote) -> Result<Bytes, EncodeError> {
    Ok(rows::vote_row(vote)?.into())
}

/// No place at all is no bytes.
pub(super) fn put_log_id(id: Option<&LogId>) -> Result<Bytes, EncodeError> {
    let row = id.map(rows::log_id_row).transpose()?;
    Ok(row.unwrap_or_default().into())
}

pub(super) fn get_log_id(row: &Bytes) -> Result<Option<LogId>, RowError> {
    if row.is_empty() {
        return Ok(None);
    }
    rows::read_log_id(row).map(Some)
}

pub(super) fn put_append(
    target: u64,
    request: &AppendEntriesRequest<Quorum>,
) -> Result<QuorumAppendRequest, EncodeError> {
    let entries = request.entries.iter().map(|entry| {
        let row = rows::entry_row(entry)?.into();
        Ok::<EntryRow, EncodeError>(EntryRow { row })
    });
    Ok(QuorumAppendRequest {
        target_raft_id: rows::signed(target),
        vote: put_vote(&request.vote)?,
        previous_log_id: put_log_id(request.prev_log_id.as_ref())?,
        commit_log_id: put_log_id(request.leader_commit.as_ref())?,
        entries: entries.collect::<Result<_, _>>()?,
    })
}

pub(super) fn get_append(
    request: &QuorumAppendRequest,
) -> Result<AppendEntriesRequest<Quorum>, RowError> {
    let entries = request.entries.iter();
    let entries = entries.map(|entry| rows::read_entry(&entry.row));
    Ok(AppendEntriesRequest {
        vote: rows::read_vote(&request.vote)?,
        prev_log_id: get_log_id(&request.previous_log_id)?,
        leader_commit: get_log_id(&request.commit_log_id)?,
        entries: entries.collect::<Result<Vec<Entry>, _>>()?,
    })
}

pub(super) fn put_appended(
    outcome: &AppendEntriesResponse<Quorum>,
) -> Result<QuorumAppendResponse, EncodeError> {
    let mut answer = QuorumAppendResponse::default();
    match outcome {
        AppendEntriesResponse::Success => answer.outcome = APPENDED,
        AppendEntriesResponse::PartialSuccess(last) => {
            answer.outcome = APPENDED_IN_PART;
            answer.last_log_id = put_log_id(last.as_ref())?;
        }
        AppendEntriesResponse::Conflict => answer.outcome = CONFLICT,
        AppendEntriesResponse::HigherVote(vote) => {
            answer.outcome = HIGHER_VOTE;
            answer.vote = put_vote(vote)?;
        }
    }
    Ok(answer)
}

pub(super) fn get_appended(
    answer: &QuorumAppendResponse,
) -> Result<AppendEntriesResponse<Quorum>, RpcError> {
    Ok(match answer.outcome {
        APPENDED => AppendEntriesResponse::Success,
        APPENDED_IN_PART => AppendEntriesResponse::PartialSuccess(get_log_id(&answer.last_log_id)?),
        CONFLICT => AppendEntriesResponse::Conflict,
        HIGHER_VOTE => AppendEntriesResponse::HigherVote(rows::read_vote(&answer.vote)?),
        other => return Err(RpcError::UnknownOutcome(other)),
    })
}

pub(super) fn put_vote_request(
    target: u64,
    pre_vote: bool,
    request: &VoteRequest<Quorum>,
) -> Result<QuorumVoteRequest, EncodeError> {
    Ok(QuorumVoteRequest {
        target_raft_id: rows::signed(target),
        pre_vote,
        leadership_transfer: request.leadership_transfer,
        vote: put_vote(&request.vote)?,
        last_log_id: put_log_id(request.last_log_id.as_ref())?,
    })
}

pub(super) fn get_vote_request(
    request: &QuorumVoteRequest,
) -> Result<VoteRequest<Quorum>, RowError> {
    let vote = rows::read_vote(&request.vote)?;
    let mut read = VoteRequest::new(vote, get_log_id(&request.last_log_id)?);
    read.leadership_transfer = request.leadership_transfer;
    Ok(read)
}

pub(super) fn put_voted(answer: &VoteResponse<Quorum>) -> Result<QuorumVoteResponse, EncodeError> {
    Ok(QuorumVoteResponse {
        granted: answer.vote_granted,
        vote: put_vote(&answer.vote)?,
        last_log_id: put_log_id(answer.last_log_id.as_ref())?,
        ..QuorumVoteResponse::default()
    })
}

pub(super) fn get_voted(answer: &QuorumVoteResponse) -> Result<VoteResponse<Quorum>, RpcError> {
    let vote = rows::read_vote(&answer.vote)?;
    let last_log_id = get_log_id(&answer.last_log_id)?;
    Ok(VoteResponse::new(vote, last_log_id, answer.granted))
}

pub(super) fn put_transfer(
    target: u64,
    request: &TransferLeaderRequest<Quorum>,
) -> Result<QuorumTransferRequest, EncodeError> {
    Ok(QuorumTransferRequest {
        target_raft_id: rows::signed(target),
        from_vote: put_vote(request.from_leader())?,
        to_raft_id: rows::signed(*request.to_node_id()),
        last_log_id: put_log_id(request.last_log_id())?,
    })
}

pub(super) fn get_transfer(
    request: &QuorumTransferRequest,
) -> Result<TransferLeaderRequest<Quorum>, RowError> {
    Ok(TransferLeaderRequest::new(
        rows::read_vote(&request.from_vote)?,
        rows::unsigned(request.to_raft_id),
        get_log_id(&request.last_log_id)?,
    ))
}

/// What the caller expected is what it asked with; only what was found there travels.
pub(super) fn put_transferred(
    outcome: &TransferLeaderResponse<Quorum>,
) -> Result<QuorumTransferResponse, EncodeError> {
    let mut answer = QuorumTransferResponse::default();
    match outcome {
        Ok(()) => answer.outcome = TRANSFERRED,
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            answer.outcome = VOTE_CHANGED;
            answer.vote = put_vote(actual)?;
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            answer.outcome = NOT_FLUSHED;
            answer.last_log_id = put_log_id(actual.as_ref())?;
        }
    }
    Ok(answer)
}

pub(super) fn get_transferred(
    request: &TransferLeaderRequest<Quorum>,
    answer: &QuorumTransferResponse,
) -> Result<TransferLeaderResponse<Quorum>, RpcError> {
    Ok(match answer.outcome {
        TRANSFERRED => Ok(()),
        VOTE_CHANGED => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: rows::read_vote(&answer.vote)?,
        }),
        NOT_FLUSHED => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: get_log_id(&answer.last_log_id)?,
        }),
        other => return Err(RpcError::UnknownOutcome(other)),
    })
}
