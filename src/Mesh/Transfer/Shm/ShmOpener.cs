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
        MeshError? error;
        try
        {
            error = Fetch(connection, dialer.Timeout, segments);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            error = Refused(e.Message);
        }

        var mapping = new ShmMapping(connection, [.. segments]);
        if (error is null)
            return mapping;
        mapping.Release();
        return error;
    }

    private static MeshError? Fetch(SocketConnection connection, TimeSpan limit, List<ShmSegment> segments)
    {
        Span<byte> answer = stackalloc byte[ShmFrame.MostBytes];
        var descriptors = new List<int>();
        int total;
        do
        {
            int first = segments.Count;
            connection.SendAsync(ShmFrame.Request(first), CancellationToken.None).AsTask().GetAwaiter().GetResult();
            int got = DescriptorMessage.Receive(connection.Socket, answer, descriptors, limit);
            if (got <= 0 || !ShmFrame.TryReadHeader(answer[..got], first, descriptors.Count, out total, out int count)
                || total > SegmentSet.MaxSegments)
            {
                Close(descriptors, 0);
                return Refused(got <= 0 ? "it passed no descriptors" : "its answer is malformed");
            }

            for (int i = 0; i < count; i++)
            {
                var (memoryBytes, tableBytes) = ShmFrame.ReadSegment(answer, i);
                var memory = MemoryBlock.MapReadOnly(descriptors[2 * i], memoryBytes);
                var table = MemoryBlock.MapReadOnly(descriptors[(2 * i) + 1], tableBytes);
                if (memory.Succeeded && table.Succeeded)
                {
                    segments.Add(new ShmSegment(memory.Value, table.Value));
                    continue;
                }

                if (memory.Succeeded)
                    memory.Value.Dispose();
                if (table.Succeeded)
                    table.Value.Dispose();
                Close(descriptors, 2 * (i + 1));
                return memory.Error ?? table.Error;
            }

            descriptors.Clear();
        }
        while (segments.Count < total);

        return null;
    }

    private static void Close(List<int> descriptors, int from)
    {
        for (int i = from; i < descriptors.Count; i++)
            _ = LibC.close(descriptors[i]);
    }

    private static MeshError Refused(string why) => new(MeshErrorCode.Unavailable, "shm", "no shared memory: " + why);
}
