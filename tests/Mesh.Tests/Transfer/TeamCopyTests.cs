// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Copies that two threads share: every byte once, every sum right, nothing touched after the end.</summary>
public sealed class TeamCopyTests
{
    private const int Slice = (int)ObjectSum.SmallestSlice;
    private const int Least = (int)TeamCopy.Least;
    private const int Piece = 256 * 1024;

    public static TheoryData<int> Sizes =>
    [
        0, 1, 63, 64, 65, 4095, Slice - 1, Slice, Slice + 1, Piece - 1, Piece, Piece + 1, (1 << 20) - 1, (1 << 20) + 1,
        Least - 1, Least, Least + 1, Least + Slice - 1, Least + Slice, Least + Slice + 1, Least + Piece - 1,
        Least + Piece + 1, (5 << 20) + 77,
    ];

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Bytes_and_sums_are_right_at_every_alignment(int size)
    {
        foreach (var (from, to) in ((int, int)[])[(0, 0), (1, 0), (0, 1), (3, 7), (63, 1), (4095, 17)])
        {
            CheckCopy(size, from, to, null);
            CheckCopy(size, from, to, new SliceSums(size));
        }
    }

    [Theory]
    [InlineData((2L << 30) + 77)]
    [InlineData((20L << 30) + 1)]
    public void Slices_of_large_objects_are_longer_and_still_whole(long objectSize)
    {
        // Of the larger one a slice is longer than what a thread takes at a time.
        long slice = ObjectSum.SliceBytes(objectSize);
        Assert.True(slice >= Piece);
        long from = ((objectSize / slice) - Math.Max(3, Least / slice)) * slice;
        CheckCopy((int)(objectSize - from), 5, 9, new SliceSums(objectSize, from, objectSize - from));
    }

    [Fact]
    public async Task Many_at_a_time_do_not_mix()
    {
        var threads = Enumerable.Range(0, 6).Select(i => Task.Factory.StartNew(
            () =>
            {
                for (int round = 0; round < 12; round++)
                    CheckCopy(Least + (i * Slice) + round, i, round, round % 2 == 0 ? Sums(i, round) : null);
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        await Task.WhenAll(threads);

        static SliceSums Sums(int i, int round) => new(Least + (i * Slice) + round);
    }

    [Fact]
    public void A_helper_that_never_comes_is_not_waited_for()
    {
        using var pair = new Pair(2 * Least, 0, 0);
        var sums = new SliceSums(2 * Least);
        var team = new TeamCopy(pair.Copy(sums));
        Assert.Equal(TransferOutcome.Done, team.Run(default(Never)));
        pair.Check(sums);
    }

    [Fact]
    public void A_helper_that_comes_late_touches_nothing()
    {
        using var pair = new Pair(2 * Least, 0, 0);
        var whole = new TeamCopy(pair.Copy(null));
        Assert.Equal(TransferOutcome.Done, whole.Run(default(Never)));
        var cut = new TeamCopy(pair.Copy(new SliceSums(2 * Least)));
        Assert.Equal(TransferOutcome.Late, cut.Run(default(AtOnce)));
        pair.To.Fill(0xEE);
        ((IThreadPoolWorkItem)whole).Execute();
        ((IThreadPoolWorkItem)cut).Execute();
        Assert.Equal(-1, pair.To.IndexOfAnyExcept((byte)0xEE));
    }

    [Fact]
    public void A_helper_may_do_all_of_the_work()
    {
        using var pair = new Pair(2 * Least, 1, 2);
        var sums = new SliceSums(2 * Least);
        var team = new TeamCopy(pair.Copy(sums));
        ((IThreadPoolWorkItem)team).Execute();
        pair.Check(sums);
        Assert.Equal(TransferOutcome.Done, team.Run(default(Never)));
        pair.Check(sums);
    }

    [Fact]
    public void A_stop_ends_the_copy_within_a_piece()
    {
        using var pair = new Pair(2 * Least, 0, 0);
        var team = new TeamCopy(pair.Copy(null));
        Assert.Equal(TransferOutcome.Late, team.Run(default(AtOnce)));
        Assert.True(pair.To[..Piece].SequenceEqual(pair.From[..Piece]));
        Assert.Equal(-1, pair.To[Piece..].IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public async Task While_the_helper_copies_the_end_is_waited_for()
    {
        using var pair = new Pair(4 * Least, 0, 0);
        using var begin = new Barrier(2);
        TeamCopy team = null!;
        const int Rounds = 400;
        var helper = Task.Factory.StartNew(
            () =>
            {
                for (int i = 0; i < Rounds; i++)
                {
                    begin.SignalAndWait();
                    ((IThreadPoolWorkItem)team).Execute();
                    begin.SignalAndWait();
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        int touched = 0;
        for (int i = 0; i < Rounds; i++)
        {
            team = new TeamCopy(pair.Copy(null));
            begin.SignalAndWait();
            team.Run(default(AtOnce));
            // Whoever still copies leaves bytes behind in what is the caller's again.
            pair.To.Fill(0xEE);
            begin.SignalAndWait();
            touched += pair.To.IndexOfAnyExcept((byte)0xEE) < 0 ? 0 : 1;
        }

        await helper;
        Assert.Equal(0, touched);
    }

    [Fact]
    public unsafe void A_word_that_changed_makes_the_copy_stale()
    {
        using var pair = new Pair(Least, 0, 0);
        ulong word = 7;
        var copy = pair.Copy(null) with { Word = (nint)(&word), Generation = 7 };
        Assert.Equal(TransferOutcome.Done, TeamCopy.Run(copy, default(Never)));
        Assert.Equal(TransferOutcome.Stale, TeamCopy.Run(copy with { Generation = 8 }, default(Never)));
    }

    private static void CheckCopy(int size, int from, int to, SliceSums? sums)
    {
        using var pair = new Pair(size, from, to);
        Assert.Equal(TransferOutcome.Done, TeamCopy.Run(pair.Copy(sums), default(Never)));
        pair.Check(sums);
    }

    private readonly struct Never : IStopSign
    {
        public TransferOutcome Outcome => TransferOutcome.Done;
    }

    private readonly struct AtOnce : IStopSign
    {
        public TransferOutcome Outcome => TransferOutcome.Late;
    }

    /// <summary>Bytes to copy and where they go, each at some distance from a page.</summary>
    private sealed class Pair : IDisposable
    {
        private readonly GuardedMemory _from;
        private readonly GuardedMemory _to;
        private readonly int _size;
        private readonly int _fromAt;
        private readonly int _toAt;

        public Pair(int size, int from, int to)
        {
            _size = size;
            _fromAt = from;
            _toAt = to;
            _from = new GuardedMemory(size + from);
            _to = new GuardedMemory(size + to + 64);
            new Random(size + from).NextBytes(From);
        }

        public Span<byte> From => _from.Bytes[_fromAt..];

        public Span<byte> To => _to.Bytes.Slice(_toAt, _size);

        public ShmCopy Copy(SliceSums? sums) =>
            new(_from.Range.Address + _fromAt, _to.Range.Address + _toAt, _size, sums, 0, 0);

        public unsafe void Check(SliceSums? sums)
        {
            Assert.True(To.SequenceEqual(From));
            Assert.Equal(-1, _to.Bytes[.._toAt].IndexOfAnyExcept((byte)0));
            Assert.Equal(-1, _to.Bytes[(_toAt + _size)..].IndexOfAnyExcept((byte)0));
            _to.AssertGuards();
            _from.AssertGuards();
            for (int i = 0; i < sums?.Values.Length; i++)
            {
                byte* slice = (byte*)_from.Range.Address + _fromAt + (i * sums.SliceBytes);
                Assert.Equal(ObjectSum.OfSlice(slice, sums.LengthOf(i)), sums.Values[i]);
            }
        }

        public void Dispose()
        {
            _from.Dispose();
            _to.Dispose();
        }
    }
}
