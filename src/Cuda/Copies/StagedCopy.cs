// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>
/// Copies between device memory and whoever takes or gives the bytes, by way of the buffers of a lane: while one's
/// bytes are taken or given on this thread, the other's are on their way.
/// </summary>
internal static class StagedCopy
{
    /// <summary>Reads device memory.</summary>
    /// <exception cref="CudaException">The driver refuses; what is on its way ends with the run.</exception>
    internal static DeviceOutcome Read(
        CopyRun run, ReadOnlySpan<DeviceRange> from, bool isExact, IChunkSink sink, DeviceOrder order)
    {
        if (run.ComeAfter(order) is { } early)
            return early;
        var cursor = new PieceCursor(from);
        Span<Chunk> chunks = stackalloc Chunk[CopyLane.Slots];
        for (int i = 0; i < chunks.Length; i++)
            chunks[i] = ReadNext(run, ref cursor, i, isExact, order);

        long offset = 0;
        for (int slot = 0; chunks[slot].Bytes > 0; slot = (slot + 1) % CopyLane.Slots)
        {
            if (run.Wait(slot) is { } lost)
                return lost;
            if (!sink.Take(run.Buffer(slot, chunks[slot]), offset))
                return run.Stop();
            offset += chunks[slot].Bytes;
            chunks[slot] = ReadNext(run, ref cursor, slot, isExact, order);
        }

        return run.Done();
    }

    /// <summary>Writes device memory.</summary>
    /// <exception cref="CudaException">The driver refuses; what is on its way ends with the run.</exception>
    internal static DeviceOutcome Write(
        CopyRun run, ReadOnlySpan<DeviceRange> to, bool isExact, IChunkSource source, DeviceOrder order)
    {
        if (run.ComeAfter(order) is { } early)
            return early;
        var cursor = new PieceCursor(to);
        Span<bool> isOnItsWay = stackalloc bool[CopyLane.Slots];
        isOnItsWay.Clear();
        long offset = 0;
        for (int slot = 0; !cursor.IsAtEnd; slot = (slot + 1) % CopyLane.Slots)
        {
            if (isOnItsWay[slot] && run.Wait(slot) is { } lost)
                return lost;
            isOnItsWay[slot] = false;
            Chunk chunk = run.Next(ref cursor, slot, isRead: false, isExact);
            if (chunk.Bytes == 0)
                break;
            if (!source.Fill(run.Buffer(slot, chunk), offset))
                return run.Stop();
            offset += chunk.Bytes;
            run.Put(slot, chunk, isRead: false, isExact);
            isOnItsWay[slot] = true;
            if (cursor.IsAtEnd)
                run.LetGoOnAfter(slot, order);
        }

        for (int slot = 0; slot < CopyLane.Slots; slot++)
        {
            if (isOnItsWay[slot] && run.Wait(slot) is { } lost)
                return lost;
        }

        return run.Done();
    }

    private static Chunk ReadNext(CopyRun run, ref PieceCursor cursor, int slot, bool isExact, DeviceOrder order)
    {
        Chunk chunk = run.Next(ref cursor, slot, isRead: true, isExact);
        if (chunk.Bytes == 0)
            return chunk;
        run.Put(slot, chunk, isRead: true, isExact);
        if (cursor.IsAtEnd)
            run.LetGoOnAfter(slot, order);
        return chunk;
    }
}
