// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Text;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Staging;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine.Tcp;

/// <summary>
/// A connection to a peer, used by one thread: many small pieces go in one frame, and bytes straight between the socket
/// and registered memory. A write has ended when the peer says that the bytes are in its memory.
/// </summary>
/// <param name="socket">The connection; disposed with this.</param>
/// <param name="time">Clock.</param>
internal sealed unsafe class EngineConnection(BlockingSocket socket, TimeProvider time) : IDisposable
{
    private byte[]? _head;
    private ulong _lastId;

    /// <summary>The connection itself.</summary>
    public BlockingSocket Socket => socket;

    /// <summary>Whether it can be used: the other side has neither closed nor said anything unasked.</summary>
    public bool IsUsable => socket.IsQuiet();

    /// <summary>Moves pieces of a work and says of each how it ended; false: the connection broke.</summary>
    /// <param name="opcode">Which way.</param>
    /// <param name="entries">The pieces.</param>
    /// <param name="work">The work: its meter, and the device that the pieces lie on here.</param>
    /// <param name="bounds">How long that device may be waited for.</param>
    public bool Move(TransferOpcode opcode, Span<EngineEntry> entries, EngineWork work, in MoveBounds bounds)
    {
        long start = time.GetTimestamp();
        long bytes = EngineEntry.BytesOf(entries);
        foreach (ref var entry in entries)
            entry.Status = EntryStatus.Unreachable;

        bool whole = (opcode, work.Device) switch
        {
            (TransferOpcode.Write, null) => Write(entries, bytes),
            (TransferOpcode.Write, { } device) => WriteFrom(device, entries, bytes, bounds),
            (_, null) => Read(entries, bytes),
            (_, { } device) => ReadInto(device, entries, bytes, bounds),
        };
        if (whole)
        {
            work.Meter.Measure(bytes, time.GetElapsedTime(start));
            return true;
        }

        // Of what came after a refusal nothing is known.
        foreach (ref var entry in entries)
            entry.Status = entry.Status == EntryStatus.Done ? EntryStatus.Unreachable : entry.Status;
        return false;
    }

    /// <summary>Sends a message; Unreachable: the connection broke.</summary>
    public EntryStatus Notify(TransferNotify message)
    {
        byte[] name = Encoding.UTF8.GetBytes(message.Name);
        byte[] text = Encoding.UTF8.GetBytes(message.Message);
        byte* head = stackalloc byte[EngineRequest.LeastBytes];
        new EngineRequest(EngineOperation.Notify, name.Length, ++_lastId, text.Length).Write(
            new Span<byte>(head, EngineRequest.LeastBytes));
        fixed (byte* first = name)
        fixed (byte* second = text)
        {
            var parts = stackalloc iovec[3];
            parts[0] = new iovec { iov_base = head, iov_len = EngineRequest.LeastBytes };
            parts[1] = new iovec { iov_base = first, iov_len = (nuint)name.Length };
            parts[2] = new iovec { iov_base = second, iov_len = (nuint)text.Length };
            if (!socket.TrySend(new Span<iovec>(parts, 3), EngineRequest.LeastBytes + name.Length + text.Length))
                return EntryStatus.Unreachable;
        }

        return TryAnswer([], out var answer) ? answer.Status : EntryStatus.Unreachable;
    }

    /// <summary>Asks a question that has no entries; false: the connection broke.</summary>
    public bool TryAsk(EngineOperation operation, out EngineAnswer answer)
    {
        byte* head = stackalloc byte[EngineRequest.LeastBytes];
        new EngineRequest(operation, 0, ++_lastId, 0).Write(new Span<byte>(head, EngineRequest.LeastBytes));
        answer = default;
        return socket.TrySend(head, EngineRequest.LeastBytes) && TryAnswer([], out answer);
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    private bool Write(Span<EngineEntry> entries, long bytes)
    {
        int table = EngineRequest.LengthOf(entries.Length);
        byte* head = stackalloc byte[table];
        WriteHead(EngineOperation.Write, entries, bytes, new Span<byte>(head, table));
        var parts = stackalloc iovec[entries.Length + 1];
        parts[0] = new iovec { iov_base = head, iov_len = (nuint)table };
        for (int i = 0; i < entries.Length; i++)
            parts[i + 1] = new iovec { iov_base = (void*)entries[i].Local, iov_len = (nuint)entries[i].Length };
        return socket.TrySend(new Span<iovec>(parts, entries.Length + 1), table + bytes)
            && TryAnswer(entries, out var answer) && answer.Bytes == 0;
    }

    private bool Read(Span<EngineEntry> entries, long bytes)
    {
        int table = EngineRequest.LengthOf(entries.Length);
        byte* head = stackalloc byte[table];
        WriteHead(EngineOperation.Read, entries, bytes, new Span<byte>(head, table));
        if (!socket.TrySend(head, table) || !TryAnswer(entries, out var answer))
            return false;
        var parts = stackalloc iovec[entries.Length];
        int count = 0;
        long wanted = 0;
        foreach (ref readonly var entry in entries)
        {
            if (entry.Status != EntryStatus.Done)
                continue;
            parts[count++] = new iovec { iov_base = (void*)entry.Local, iov_len = (nuint)entry.Length };
            wanted += entry.Length;
        }

        return answer.Bytes == wanted && (count == 0 || socket.TryReceive(new Span<iovec>(parts, count), wanted));
    }

    /// <summary>As <see cref="Write"/>, chunk by chunk from a device; the head goes with the first.</summary>
    private bool WriteFrom(RegionDevice device, Span<EngineEntry> entries, long bytes, in MoveBounds bounds)
    {
        int table = EngineRequest.LengthOf(entries.Length);
        _head ??= new byte[EngineRequest.LengthOf(EngineRequest.MostEntries)];
        WriteHead(EngineOperation.Write, entries, bytes, _head.AsSpan(0, table));
        var sink = new SocketSink(socket, bytes, () => TrySend(_head, table));
        var read = DeviceMoves.Read(device.BufferOf(EntryRanges.Of(entries)), sink, bounds.Left, bounds.Stop);
        if (read == TransferOutcome.Done)
            return TryAnswer(entries, out var answer) && answer.Bytes == 0;
        if (read == TransferOutcome.DeviceFailed)
            EndAll(entries, EntryStatus.Unreachable, EntryStatus.DeviceFailed);
        // What the head has announced does not come.
        return !sink.HasBegun && read == TransferOutcome.DeviceFailed;
    }

    /// <summary>As <see cref="Read"/>, chunk by chunk into a device.</summary>
    private bool ReadInto(RegionDevice device, Span<EngineEntry> entries, long bytes, in MoveBounds bounds)
    {
        int table = EngineRequest.LengthOf(entries.Length);
        byte* head = stackalloc byte[table];
        WriteHead(EngineOperation.Read, entries, bytes, new Span<byte>(head, table));
        if (!socket.TrySend(head, table) || !TryAnswer(entries, out var answer))
            return false;
        var ranges = EntryRanges.Of(entries, EntryStatus.Done);
        long wanted = 0;
        foreach (var range in ranges)
            wanted += range.Length;
        if (answer.Bytes != wanted || wanted == 0)
            return answer.Bytes == wanted;
        var source = new SocketSource(socket, wanted, null);
        var written = DeviceMoves.Write(device.BufferOf(ranges), source, bounds.Left, bounds.Stop);
        if (written != TransferOutcome.DeviceFailed)
            return written == TransferOutcome.Done;
        EndAll(entries, EntryStatus.Done, EntryStatus.DeviceFailed);
        return EntryRanges.Drain(socket, wanted - source.Received);
    }

    private static void EndAll(Span<EngineEntry> entries, EntryStatus which, EntryStatus how)
    {
        foreach (ref var entry in entries)
            entry.Status = entry.Status == which ? how : entry.Status;
    }

    private bool TrySend(byte[] bytes, int length)
    {
        fixed (byte* first = bytes)
            return socket.TrySend(first, length);
    }

    private void WriteHead(EngineOperation operation, ReadOnlySpan<EngineEntry> entries, long bytes, Span<byte> head)
    {
        new EngineRequest(operation, entries.Length, ++_lastId, bytes).Write(head);
        for (int i = 0; i < entries.Length; i++)
            EngineRequest.WriteEntry(head, i, entries[i].Remote, (ulong)entries[i].Length);
    }

    /// <summary>Receives an answer, and how each entry ended; false: the connection broke.</summary>
    private bool TryAnswer(Span<EngineEntry> entries, out EngineAnswer answer)
    {
        int length = EngineAnswer.LengthOf(entries.Length);
        byte* head = stackalloc byte[length];
        long got = socket.Receive(head, EngineAnswer.LeastBytes);
        answer = EngineAnswer.Read(new ReadOnlySpan<byte>(head, EngineAnswer.HeadBytes));
        if (got != EngineAnswer.LeastBytes || answer.Id != _lastId || answer.Count != entries.Length
            || !IsKnown(answer.Status))
            return false;
        long more = length - EngineAnswer.LeastBytes;
        if (more > 0 && socket.Receive(head + EngineAnswer.LeastBytes, more) != more)
            return false;
        for (int i = 0; i < entries.Length; i++)
        {
            var status = (EntryStatus)head[EngineAnswer.HeadBytes + i];
            if (!IsKnown(status))
                return false;
            entries[i].Status = status;
        }

        return true;
    }

    private static bool IsKnown(EntryStatus status) =>
        status is (>= EntryStatus.Done and <= EntryStatus.NotLocal) or EntryStatus.DeviceFailed;
}
