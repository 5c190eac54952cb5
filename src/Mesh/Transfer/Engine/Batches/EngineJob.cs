// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Tcp;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Engine.Batches;

/// <summary>Something that a thread of an engine does, over a connection or by copies.</summary>
internal abstract class EngineJob : TransferJob
{
    /// <summary>Does it, and ends the job.</summary>
    /// <param name="connection">The connection to the peer; null for copies.</param>
    /// <param name="entries">Room for pieces, of this thread.</param>
    /// <returns>False when the connection is of no use any more.</returns>
    public abstract bool Run(EngineConnection? connection, Span<EngineEntry> entries);
}

/// <summary>One thread's part in a work: it takes pieces until none is left.</summary>
internal sealed class WorkTicket(EngineWork work) : EngineJob, IMoveStop
{
    /// <summary>Makes one.</summary>
    public static readonly Func<EngineWork, WorkTicket> Of = static work => new WorkTicket(work);

    /// <inheritdoc/>
    public override bool Run(EngineConnection? connection, Span<EngineEntry> entries)
    {
        bool whole = true;
        int count;
        while (whole && (count = work.Take(entries, out var opcode)) > 0)
        {
            var taken = entries[..count];
            var bounds = work.BoundsOf(this);
            if (connection is null)
                work.Path!.Copy(opcode, taken, bounds);
            else
                whole = connection.Move(opcode, taken, work, bounds);
            work.Account(taken);
        }

        Finish(whole ? TransferOutcome.Done : TransferOutcome.Unreachable);
        return whole;
    }

    /// <inheritdoc/>
    protected override void Release() => work.TicketEnded();
}

/// <summary>A message to a peer's user.</summary>
/// <param name="message">The message.</param>
/// <param name="ended">Told how it ended, once.</param>
internal sealed class NotifyJob(TransferNotify message, Action<EntryStatus> ended) : EngineJob
{
    private EntryStatus _status = EntryStatus.Unreachable;

    /// <inheritdoc/>
    public override bool Run(EngineConnection? connection, Span<EngineEntry> entries)
    {
        _status = connection!.Notify(message);
        bool whole = _status != EntryStatus.Unreachable;
        Finish(whole ? TransferOutcome.Done : TransferOutcome.Unreachable);
        return whole;
    }

    /// <inheritdoc/>
    protected override void Release() =>
        ended(_status == EntryStatus.Unreachable && IsStopped ? EntryStatus.Late : _status);
}
