// SPDX-License-Identifier: Apache-2.0

using System.IO.Hashing;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Every form of the copy, against the runtime's bytes and the library's hash.</summary>
public sealed class NativeCopyTests
{
    public static TheoryData<string> Forms { get; } = [.. Enum.GetNames<CopyForm>()];

    [Theory]
    [MemberData(nameof(Forms))]
    public unsafe void Every_form_copies_and_sums_like_the_library(string name)
    {
        var form = Enum.Parse<CopyForm>(name);
        Assert.SkipUnless(NativeCopy.Has(form), $"this processor has no {form}; its best form is {NativeCopy.Best}");
        var random = new Random(7);
        var lengths = new List<int>();
        for (int length = 0; length <= 300; length++)
            lengths.Add(length);
        foreach (int around in (int[])[1024, 2048, 4096, 5120, 8192, 65536])
        {
            foreach (int off in (int[])[-65, -64, -63, -1, 0, 1, 63, 64, 65, 240])
                lengths.Add(around + off);
        }

        for (int i = 0; i < 60; i++)
            lengths.Add(random.Next(300, 200_000));
        using var from = new GuardedMemory(210_000);
        using var to = new GuardedMemory(210_000);
        random.NextBytes(from.Bytes);
        foreach (int length in lengths)
        {
            int source = random.Next(130);
            int target = length % 3 == 0 ? 0 : random.Next(130);
            byte* first = (byte*)from.Range.Address + source;
            byte* last = (byte*)to.Range.Address + target;
            var expected = from.Bytes.Slice(source, length);
            to.Bytes.Fill(0x5A);
            Assert.Equal(XxHash3.HashToUInt64(expected), NativeCopy.CopyAndSum(form, first, last, length));
            AssertCopied(to, target, expected);
            to.Bytes.Fill(0x5A);
            NativeCopy.Copy(form, first, last, length);
            AssertCopied(to, target, expected);
        }

        to.AssertGuards();
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public unsafe void A_single_changed_bit_changes_the_sum(string name)
    {
        var form = Enum.Parse<CopyForm>(name);
        Assert.SkipUnless(NativeCopy.Has(form), $"this processor has no {form}");
        const int Length = (64 << 10) + 100;
        using var from = new GuardedMemory(Length);
        using var to = new GuardedMemory(Length);
        new Random(1).NextBytes(from.Bytes);
        byte* source = (byte*)from.Range.Address;
        ulong sum = NativeCopy.CopyAndSum(form, source, (byte*)to.Range.Address, Length);
        for (int at = 0; at < Length; at += 997)
        {
            source[at] ^= (byte)(1 << (at % 8));
            Assert.NotEqual(sum, NativeCopy.CopyAndSum(form, source, (byte*)to.Range.Address, Length));
            source[at] ^= (byte)(1 << (at % 8));
        }
    }

    private static void AssertCopied(GuardedMemory to, int target, ReadOnlySpan<byte> expected)
    {
        Assert.True(to.Bytes.Slice(target, expected.Length).SequenceEqual(expected), $"{expected.Length} bytes");
        Assert.Equal(-1, to.Bytes[..target].IndexOfAnyExcept((byte)0x5A));
        Assert.Equal(-1, to.Bytes[(target + expected.Length)..].IndexOfAnyExcept((byte)0x5A));
    }
}
