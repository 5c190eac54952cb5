// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>Gets the descriptors of a holder's segments over its Unix socket, and maps them.</summary>
internal static class ShmOpener
{
    /// <summary>Maps all segments of a node, or none; blocks the thread for a few seconds at most.</summary>
    public static MeshResult<ShmMapping> Open(PeerDialer dialer, NodeRecord node, CancellationToken cancel)
    {
        var dialled = dialer.Dial(node, Lane.Shm, localOnly: true, cancel);
        if (!dialled.Succeeded)
            return dialled.Error!;
        var connection = dialled.Value;
        var segments = new List<ShmSegment>();
        var head = default(ShmHead);
        MeshError? error;
        try
        {
            error = Fetch(connection, dialer.Timeout, segments, ref head);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            error = Refused(e.Message);
        }

        var mapping = new ShmMapping(connection, [.. segments], head.Client, head.MayWrite);
        if (error is null)
            return mapping;
        mapping.Release();
        return error;
    }

    private static MeshError? Fetch(SocketConnection connection, TimeSpan limit, List<ShmSegment> segments,
        ref ShmHead head)
    {
        Span<byte> answer = stackalloc byte[ShmFrame.MostBytes];
        var descriptors = new List<int>();
        do
        {
            int first = segments.Count;
            connection.SendAsync(ShmFrame.Request(ShmRequest.Map, first), CancellationToken.None).AsTask().GetAwaiter()
                .GetResult();
            int got = DescriptorMessage.Receive(connection.Socket, answer, descriptors, limit);
            if (got <= 0 || !ShmFrame.TryReadHead(answer[..got], first, descriptors.Count, out head)
                || head.Total > SegmentSet.MaxSegments)
            {
                Close(descriptors, 0);
                return Refused(got <= 0 ? "it passed no descriptors" : "its answer is malformed");
            }

            for (int i = 0; i < head.Count; i++)
            {
                var (memoryBytes, tableBytes) = ShmFrame.ReadSegment(answer, i);
                var segment = Map(descriptors, head.DescriptorsEach * i, head.DescriptorsEach, memoryBytes, tableBytes);
                if (!segment.Succeeded)
                {
                    Close(descriptors, head.DescriptorsEach * (i + 1));
                    return segment.Error;
                }

                segments.Add(segment.Value);
            }

            descriptors.Clear();
        }
        while (segments.Count < head.Total);

        return null;
    }

    /// <summary>Maps one segment; all of its descriptors are closed then, whatever comes of it.</summary>
    private static MeshResult<ShmSegment> Map(List<int> descriptors, int at, int count, long memoryBytes,
        long tableBytes)
    {
        var memory = MemoryBlock.MapReadOnly(descriptors[at], memoryBytes);
        var table = MemoryBlock.MapReadOnly(descriptors[at + 1], tableBytes);
        var writable = count < 3 ? default : MemoryBlock.MapWritable(descriptors[at + 2], memoryBytes);
        if (memory.Succeeded && table.Succeeded && (count < 3 || writable.Succeeded))
            return new ShmSegment(memory.Value, table.Value, count < 3 ? null : writable.Value);
        if (memory.Succeeded)
            memory.Value.Dispose();
        if (table.Succeeded)
            table.Value.Dispose();
        if (count >= 3 && writable.Succeeded)
            writable.Value.Dispose();
        return memory.Error ?? table.Error ?? writable.Error!;
    }

    private static void Close(List<int> descriptors, int from)
    {
        for (int i = from; i < descriptors.Count; i++)
            _ = LibC.close(descriptors[i]);
    }

    private static MeshError Refused(string why) => new(MeshErrorCode.Unavailable, "shm", "no shared memory: " + why);
}
