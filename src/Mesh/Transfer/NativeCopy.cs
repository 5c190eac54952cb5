// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.Intrinsics.X86;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer;

/// <summary>How bytes are copied past the caches.</summary>
internal enum CopyForm
{
    /// <summary>The runtime's copy, and the library's hash over what was copied.</summary>
    Portable,

    /// <summary>32 bytes at a time (x86-64 with AVX2).</summary>
    Avx2,

    /// <summary>64 bytes at a time (x86-64 with AVX-512).</summary>
    Avx512,
}

/// <summary>
/// Copies native memory, and sums it on the way; large copies go past the caches, which spares reading the destination
/// first. Benchmark: "mooncake-mesh bench memory".
/// </summary>
internal static unsafe class NativeCopy
{
    /// <summary>
    /// From this size on a transfer is copied past the caches, in bytes: below, whoever asked for the bytes finds them
    /// in the cache.
    /// </summary>
    public const long Streaming = 1 << 20;

    /// <summary>
    /// What is fetched ahead, in bytes: the next page, where the hardware's own prefetch ends.
    /// </summary>
    internal const int Ahead = 4096;

    /// <summary>The best form this processor has.</summary>
    public static readonly CopyForm Best =
        Avx512F.IsSupported ? CopyForm.Avx512 : Avx2.IsSupported ? CopyForm.Avx2 : CopyForm.Portable;

    /// <summary>Whether this processor has a form.</summary>
    public static bool Has(CopyForm form) => form <= Best;

    /// <summary>Copies; <paramref name="stream"/> says whether the whole transfer, not this piece, is large.</summary>
    public static void Copy(byte* from, byte* to, long length, bool stream) =>
        Copy(stream ? Best : CopyForm.Portable, from, to, length);

    /// <summary>Copies one slice and sums it, in one pass where the processor can.</summary>
    /// <returns><see cref="ObjectSum.OfSlice"/> of the bytes.</returns>
    public static ulong CopyAndSum(byte* from, byte* to, long length, bool stream) =>
        CopyAndSum(stream ? Best : CopyForm.Portable, from, to, length);

    /// <summary>Copies in a form that the processor has.</summary>
    public static void Copy(CopyForm form, byte* from, byte* to, long length)
    {
        switch (form)
        {
            case CopyForm.Avx512 when length >= StreamingCopy512.Least:
                StreamingCopy512.Copy(from, to, length);
                break;
            case CopyForm.Avx2 when length >= StreamingCopy256.Least:
                StreamingCopy256.Copy(from, to, length);
                break;
            default:
                Buffer.MemoryCopy(from, to, length, length);
                break;
        }
    }

    /// <summary>Copies and sums in a form that the processor has.</summary>
    public static ulong CopyAndSum(CopyForm form, byte* from, byte* to, long length)
    {
        switch (form)
        {
            case CopyForm.Avx512 when length >= StreamingCopy512.Least:
                return StreamingCopy512.CopyAndSum(from, to, length);
            case CopyForm.Avx2 when length >= StreamingCopy256.Least:
                return StreamingCopy256.CopyAndSum(from, to, length);
            default:
                Buffer.MemoryCopy(from, to, length, length);
                return ObjectSum.OfSlice(to, length);
        }
    }
}
