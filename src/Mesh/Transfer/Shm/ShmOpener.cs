// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
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
            error = Fetch(connection, dialer, WhatOf(node), segments, ref head);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            error = Refused(e.Message);
        }

        var mapping = new ShmMapping(connection, [.. segments], head.Client, head.MayWrite,
            dialer.Runtime.Devices);
        if (error is null)
            return mapping;
        mapping.Release();
        return error;
    }

    private static ShmRequest WhatOf(NodeRecord node)
    {
        foreach (var segment in node.Segments)
        {
            if (node.DeviceOf(segment.Id) is not null)
                return ShmRequest.MapDevices;
        }

        return ShmRequest.Map;
    }

    private static MeshError? Fetch(SocketConnection connection, PeerDialer dialer, ShmRequest what,
        List<ShmSegment> segments, ref ShmHead head)
    {
        Span<byte> answer = stackalloc byte[ShmFrame.MostBytes];
        var descriptors = new List<int>();
        do
        {
            int first = segments.Count;
            connection.SendAsync(ShmFrame.Request(what, first), CancellationToken.None).AsTask().GetAwaiter()
                .GetResult();
            int got = DescriptorMessage.Receive(connection.Socket, answer, descriptors, dialer.Timeout);
            if (got <= 0 || !ShmFrame.TryReadHead(answer[..got], what, first, descriptors.Count, out head)
                || head.Total > SegmentSet.MaxSegments)
            {
                Close(descriptors, 0);
                return Refused(got <= 0 ? "it passed no descriptors" : "its answer is malformed");
            }

            for (int i = 0, at = 0; i < head.Count; i++)
            {
                var entry = ShmFrame.ReadSegment(answer, what, i)!.Value;
                int own = entry.IsOnDevice ? 1 : head.DescriptorsEach;
                var segment = entry.IsOnDevice
                    ? Map(descriptors[at], entry, dialer.Runtime)
                    : Map(descriptors, at, own, entry.MemoryBytes, entry.TableBytes);
                at += own;
                if (!segment.Succeeded)
                {
                    Close(descriptors, at);
                    return segment.Error;
                }

                segments.Add(segment.Value);
            }

            descriptors.Clear();
        }
        while (segments.Count < head.Total);

        return null;
    }

    /// <summary>
    /// Maps a segment that a device has: its table, and its memory where this process has the device too.
    /// </summary>
    private static MeshResult<ShmSegment> Map(int descriptor, in ShmEntry entry, MeshRuntime runtime)
    {
        var table = MemoryBlock.MapReadOnly(descriptor, entry.TableBytes);
        if (!table.Succeeded)
            return table.Error!;
        IDeviceBlock? block = null;
        if (runtime.Devices is { } devices && entry.Handle is { Length: > 0 } handle)
        {
            var opened = devices.OpenShared(entry.Location, handle, entry.MemoryBytes);
            block = opened.Succeeded ? opened.Value : null;
            if (!opened.Succeeded)
            {
                runtime.Log.CreateLogger("mesh.shm").LogInformation("device_not_opened location={Location} "
                    + "reason={Reason}", entry.Location, opened.Error!.Message);
            }
        }

        return new ShmSegment(entry.MemoryBytes, table.Value, null, null, block);
    }

    /// <summary>Maps one segment; all of its descriptors are closed then, whatever comes of it.</summary>
    private static MeshResult<ShmSegment> Map(List<int> descriptors, int at, int count, long memoryBytes,
        long tableBytes)
    {
        var memory = MemoryBlock.MapReadOnly(descriptors[at], memoryBytes);
        var table = MemoryBlock.MapReadOnly(descriptors[at + 1], tableBytes);
        var writable = count < 3 ? default : MemoryBlock.MapWritable(descriptors[at + 2], memoryBytes);
        if (memory.Succeeded && table.Succeeded && (count < 3 || writable.Succeeded))
        {
            return new ShmSegment(memory.Value.Length, table.Value, memory.Value, count < 3 ? null : writable.Value);
        }

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
