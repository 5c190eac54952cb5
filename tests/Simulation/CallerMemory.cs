// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using System.IO.Hashing;
using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Values that say which put wrote them, in every 8 bytes: a read that mixes two, or misses a part, is told apart.
/// </summary>
internal static class Stamped
{
    /// <summary>Shortest value: one word.</summary>
    public const int Least = 8;

    private const ulong Step = 0x9E37_79B9_7F4A_7C15;

    /// <summary>Fills <paramref name="bytes"/> with value <paramref name="id"/>.</summary>
    public static void Fill(Span<byte> bytes, ulong id)
    {
        for (int at = 0; at + 8 <= bytes.Length; at += 8)
            BinaryPrimitives.WriteUInt64LittleEndian(bytes[at..], id + ((ulong)at * Step));
        bytes[(bytes.Length & ~7)..].Clear();
    }

    /// <summary>The value that these bytes are, or <see cref="CallRecord.Torn"/>.</summary>
    public static ulong Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < Least)
            return CallRecord.Torn;
        ulong id = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        for (int at = 8; at + 8 <= bytes.Length; at += 8)
        {
            if (BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]) != id + ((ulong)at * Step))
                return CallRecord.Torn;
        }

        return id;
    }
}

/// <summary>
/// Memory of callers, that stays in place: handed out, and after the call watched for a while for anybody who still
/// writes into it, before it is handed out again.
/// </summary>
internal sealed class CallerMemory(SimulatedWorld world)
{
    private static readonly TimeSpan WatchTime = TimeSpan.FromSeconds(3);

    /// <summary>For all runs of a thread: a world that has ended takes no more steps that could touch one.</summary>
    [ThreadStatic]
    private static Stack<byte[]>? _free;

    /// <summary>Largest value, in bytes.</summary>
    public const int Most = 24 * 1024;

    /// <summary>A buffer of <see cref="Most"/> bytes.</summary>
    public byte[] Take() => _free is not null && _free.TryPop(out byte[]? buffer)
        ? buffer
        : GC.AllocateUninitializedArray<byte>(Most, pinned: true);

    /// <summary>
    /// Takes a buffer back whose call has returned; <paramref name="changed"/> is called if it changes in the next
    /// seconds.
    /// </summary>
    public void Give(byte[] buffer, Action changed)
    {
        ulong before = XxHash3.HashToUInt64(buffer);
        world.Clock.After(WatchTime, () =>
        {
            if (XxHash3.HashToUInt64(buffer) != before)
                changed();
            (_free ??= []).Push(buffer);
        });
    }
}
