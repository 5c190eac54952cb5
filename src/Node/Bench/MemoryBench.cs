// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// "bench memory": the copies and sums that transfers within a host are made of, on one thread, both sides rotating
/// over more memory than any cache holds. The limit is the runtime's own copy of the same bytes.
/// </summary>
internal static class MemoryBench
{
    internal const long Rotation = 512L << 20;

    internal static Task RunAsync(BenchReport report)
    {
        using var source = new BenchMemory(Rotation);
        using var target = new BenchMemory(Rotation);
        Fill(source.Range);
        foreach (long size in (long[])[64L << 10, 1L << 20, 16L << 20])
        {
            string name = size < 1L << 20 ? $"{size >> 10}KiB" : $"{size >> 20}MiB";
            double Plain() => Rotate(source, target, size, static (from, to, length) => CopyPlain(from, to, length));
            report.Add(BenchRow.Of($"memory.sum.{name}", "GB/s", Alternating.Run(
                () => Rotate(source, target, size, static (from, _, length) => Sum(from, length)), Plain)));
            foreach (CopyForm form in Enum.GetValues<CopyForm>())
            {
                if (!NativeCopy.Has(form))
                    continue;
                string kind = form.ToString().ToLowerInvariant();
                report.Add(BenchRow.Of($"memory.copy.{kind}.{name}", "GB/s", Alternating.Run(
                    () => Rotate(source, target, size, (from, to, length) => Copy(form, from, to, length)), Plain)));
                report.Add(BenchRow.Of($"memory.copy_and_sum.{kind}.{name}", "GB/s", Alternating.Run(
                    () => Rotate(source, target, size, (from, to, length) => Fused(form, from, to, length)), Plain)));
            }

            report.Add(BenchRow.Of($"memory.sum_then_copy.{name}", "GB/s", Alternating.Run(
                () => Rotate(source, target, size, static (from, to, length) =>
                {
                    Sum(from, length);
                    Copy(NativeCopy.Best, from, to, length);
                }),
                Plain)));
        }

        return Task.CompletedTask;
    }

    /// <summary>Bytes that are not all alike.</summary>
    internal static unsafe void Fill(NativeRange range)
    {
        ulong* words = (ulong*)range.Address;
        for (long i = 0; i < range.Length / sizeof(ulong); i++)
            words[i] = (ulong)i * 0x9E3779B97F4A7C15;
    }

    /// <summary>The runtime's copy.</summary>
    internal static unsafe void CopyPlain(nint from, nint to, long length) =>
        new ReadOnlySpan<byte>((byte*)from, (int)length).CopyTo(new Span<byte>((byte*)to, (int)length));

    /// <summary>Does something to every block of the memory once; GB/s.</summary>
    private static double Rotate(BenchMemory source, BenchMemory target, long size, Action<nint, nint, long> work)
    {
        long start = Stopwatch.GetTimestamp();
        for (long at = 0; at < Rotation; at += size)
            work(source.Range.Address + (nint)at, target.Range.Address + (nint)at, size);
        return Rotation / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    private static unsafe void Copy(CopyForm form, nint from, nint to, long length) =>
        NativeCopy.Copy(form, (byte*)from, (byte*)to, length);

    private static unsafe void Fused(CopyForm form, nint from, nint to, long length)
    {
        for (long at = 0; at < length; at += ObjectSum.SmallestSlice)
            _sink ^= NativeCopy.CopyAndSum(form, (byte*)from + at, (byte*)to + at, ObjectSum.SmallestSlice);
    }

    private static unsafe void Sum(nint from, long length)
    {
        for (long at = 0; at < length; at += ObjectSum.SmallestSlice)
            _sink ^= ObjectSum.OfSlice((byte*)from + at, ObjectSum.SmallestSlice);
    }

    /// <summary>Keeps sums that nobody looks at from being left out.</summary>
    private static ulong _sink;
}
